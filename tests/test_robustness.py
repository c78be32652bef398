from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from avfusion.analysis.held_out_cities import choose_cities, held_out, over_cities, without_city
from avfusion.analysis.robustness import SHIFTS, Batch, Shift, choose_shifts, robustness
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.fusion import variants
from avfusion.scoring.metrics import evaluate
from avfusion.training.experiment import Trained, resolve_params, score_test, train
from avfusion.training.many import Training
from avfusion.training.scene_classifier import SceneClassifier
from avfusion.training.split_features import TEST, TRAIN, VALIDATION, SplitFeatures
from tests.stores import make_store

FAST = {"epochs": "3", "batch_size": "16", "learning_rate": "0.003"}
CHOSEN = list(variants())
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SplitFeatures:
    folder = tmp_path_factory.mktemp("robustness") / "store"
    make_store(folder, locations=6, clips=4, n_frames=6, separation=1.0, lengths=(6, 6, 5))
    return SplitFeatures(FeatureStore.open(folder))


@pytest.fixture(scope="module")
def trained(data: SplitFeatures) -> dict[str, Trained]:
    resolved = resolve_params([variants()[name] for name in CHOSEN], FAST)
    return {name: train(data, variants()[name], params, 0, CPU) for name, params in zip(CHOSEN, resolved, strict=True)}


@pytest.fixture(scope="module")
def classifiers(trained: dict[str, Trained]) -> dict[str, SceneClassifier]:
    return {name: entry.classifier for name, entry in trained.items()}


@pytest.fixture(scope="module")
def curves(data: SplitFeatures, classifiers: dict[str, SceneClassifier]) -> pd.DataFrame:
    return robustness(classifiers, data, choose_shifts(("all",)))


def test_every_variant_has_every_severity_of_every_shift(curves: pd.DataFrame) -> None:
    expected = {(name, shift.id, s) for name in CHOSEN for shift in SHIFTS.values() for s in shift.severities}
    assert set(zip(curves["variant"], curves["shift"], curves["severity"], strict=True)) == expected
    assert all(0.0 in shift.severities for shift in SHIFTS.values())


def test_severity_zero_is_the_clean_score(
    curves: pd.DataFrame, data: SplitFeatures, trained: dict[str, Trained]
) -> None:
    for name, group in curves[curves["severity"] == 0].groupby("variant"):
        clean = evaluate(score_test(data, trained[str(name)]).test)
        for score, value in clean.items():
            np.testing.assert_allclose(group[score], value, rtol=1e-5)


def test_pictures_of_another_number_and_size(tmp_path: Path) -> None:
    make_store(tmp_path / "store", n_frames=6, lengths=(6, 6, 5), pictures=(4, 3))
    data = SplitFeatures(FeatureStore.open(tmp_path / "store"))
    chosen = [variants()[name] for name in ("late", "lstm")]
    found = {v.id: train(data, v, p, 0, CPU) for v, p in zip(chosen, resolve_params(chosen, FAST), strict=True)}
    curves = robustness({name: entry.classifier for name, entry in found.items()}, data, choose_shifts(("all",)))
    for name, group in curves[curves["severity"] == 0].groupby("variant"):
        clean = evaluate(score_test(data, found[str(name)]).test)
        np.testing.assert_allclose(group["log_loss"], clean["log_loss"], rtol=1e-5)


@pytest.mark.parametrize("shift", SHIFTS.values(), ids=SHIFTS)
def test_invariant_variants_really_feel_nothing(
    shift: Shift, data: SplitFeatures, classifiers: dict[str, SceneClassifier]
) -> None:
    batch = example(data)
    spoilt = shift.change(batch, shift.severities[-1])
    for name, classifier in classifiers.items():
        with torch.no_grad():
            before, _ = classifier.eval().answers(batch.features["audio"], batch.features["video"])
            after, _ = classifier.eval().answers(spoilt["audio"], spoilt["video"])
        moved = float((after - before).abs().max())
        assert (moved > 1e-4) == shift.felt_by(variants()[name]), f"{name}: {moved}"


def example(data: SplitFeatures) -> Batch:
    generator = torch.Generator().manual_seed(0)
    features = {m: torch.randn(5, 6, 8, generator=generator) for m in ("audio", "video")}
    noise = {m: torch.randn(5, 6, 8, generator=generator) for m in ("audio", "video")}
    means = {m: data.standardize[m].mean for m in ("audio", "video")}
    return Batch(features, noise, means, torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8]))


def test_shifts_do_what_they_say(data: SplitFeatures) -> None:
    batch = example(data)
    louder = SHIFTS["audio_noise"].change(batch, 2.0)
    torch.testing.assert_close(louder["audio"], batch.features["audio"] + 2 * batch.noise["audio"])
    assert louder["video"] is batch.features["video"]
    without = SHIFTS["no_video"].change(batch, 0.5)["video"]
    torch.testing.assert_close(without[:3], batch.means["video"].expand(3, 6, 8))
    torch.testing.assert_close(without[3:], batch.features["video"][3:])
    late = SHIFTS["out_of_step"].change(batch, 0.5)["video"]
    torch.testing.assert_close(late[:, 3:], batch.features["video"][:, :3])
    torch.testing.assert_close(late.mean(1), batch.features["video"].mean(1))
    for shift in SHIFTS.values():
        for modality, features in shift.change(batch, 0.0).items():
            torch.testing.assert_close(features, batch.features[modality], rtol=0, atol=0)


def test_curves_do_not_depend_on_who_else_is_there(
    curves: pd.DataFrame, data: SplitFeatures, classifiers: dict[str, SceneClassifier]
) -> None:
    alone = robustness({"late": classifiers["late"]}, data, [SHIFTS["video_noise"]])
    together = curves[(curves["variant"] == "late") & (curves["shift"] == "video_noise")]
    pd.testing.assert_frame_equal(alone, together.reset_index(drop=True))


def test_without_its_only_modality_a_variant_knows_nothing(curves: pd.DataFrame) -> None:
    gone = curves[(curves["variant"] == "audio_only") & (curves["shift"] == "no_audio")].set_index("severity")[
        "accuracy"
    ]
    assert gone[1.0] == pytest.approx(1 / 3)  # one answer for all clips, three equal classes
    assert gone[0.0] > 0.5
    deaf = curves[(curves["variant"] == "video_only") & (curves["shift"] == "no_audio")]
    assert deaf["invariant"].all() and deaf["accuracy"].nunique() == 1


def test_unknown_shifts_are_answered_with_the_choices() -> None:
    assert choose_shifts(()) == []
    assert [shift.id for shift in choose_shifts(("no_audio", "no_video"))] == ["no_audio", "no_video"]
    with pytest.raises(UserError, match="unknown shift 'fog'; choose from: all, audio_noise"):
        choose_shifts(("fog",))


def cities_of(data: SplitFeatures) -> dict[str, str]:
    """Two cities, each with half of the locations of every class."""
    return {
        str(clip): "even" if int(str(place).rpartition("-")[2]) % 2 == 0 else "odd"
        for clip, place in zip(data.store.clips["id"], data.store.clips["location"], strict=True)
    }


def test_a_held_out_city_is_neither_trained_on_nor_the_others_scored(data: SplitFeatures) -> None:
    cities = cities_of(data)
    reduced = without_city(data, cities, "odd")
    for split in (TRAIN, VALIDATION):
        assert {cities[clip] for clip in reduced.ids(split)} == {"even"}
        assert set(reduced.ids(split)) <= set(data.ids(split))
    assert set(reduced.ids(TEST)) == {clip for clip in data.ids(TEST) if cities[clip] == "odd"}
    assert not np.allclose(reduced.standardize["audio"].mean, data.standardize["audio"].mean)
    assert {cities[clip] for clip in data.ids(TRAIN)} == {"even", "odd"}  # the data itself is as it was


def test_held_out_rows_compare_the_same_clips(data: SplitFeatures, trained: dict[str, Trained]) -> None:
    cities = cities_of(data)
    trainings = {"late": Training(variants()["late"], trained["late"].params, 0)}
    clean = {"late": score_test(data, trained["late"]).test}
    by_city = {city: without_city(data, cities, city) for city in choose_cities(("all",), cities)}
    table = held_out(by_city, trainings, clean, CPU)
    assert table["city"].tolist() == ["even", "odd"]
    assert table["clips"].sum() == len(data.ids(TEST))
    means = over_cities(table)
    assert means["accuracy_seen"].item() == pytest.approx(evaluate(clean["late"])["accuracy"])
    assert means["accuracy_change"].item() == pytest.approx(
        means["accuracy_held_out"].item() - means["accuracy_seen"].item()
    )


def test_cities_that_cannot_be_left_out(data: SplitFeatures) -> None:
    cities = cities_of(data)
    with pytest.raises(UserError, match="cities=all: the cities of the clips are not known"):
        choose_cities(("all",), None)
    with pytest.raises(UserError, match="unknown city 'rome'; choose from: all, even, none, odd"):
        choose_cities(("rome",), cities)
    with pytest.raises(UserError, match=r"without here: .*0 clips in the train split"):
        without_city(data, dict.fromkeys(cities, "here"), "here")
