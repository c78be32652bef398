"""Which members an ensemble has, with which weights; and the ensemble as a classifier."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from avfusion.analysis.ensembles import combined, fit_ensemble
from avfusion.analysis.variant_answers import SideBySide, VariantAnswers
from avfusion.errors import UserError
from avfusion.scoring.metrics import log_loss
from avfusion.scoring.predictions import Predictions
from avfusion.serving.answers import answer, responsible
from avfusion.serving.timeline import make_timeline
from avfusion.training.classifier import Classifier
from avfusion.training.ensemble import Ensemble, open_classifier
from avfusion.training.scene_classifier import SceneClassifier
from tests.test_serving_answers import CLASSES, every, make_classifier, make_features, with_companions

N, C = 300, 4
NAMES = tuple(f"class {number}" for number in range(C))


def scores(seed: int, strength: float, n: int = N) -> NDArray[np.float64]:
    """Class scores that know the true class, clip number mod C, by `strength` standard deviations."""
    noise = np.random.default_rng(seed).normal(size=(n, C))
    return noise + strength * np.eye(C)[np.arange(n) % C]


def answers(split: str, given: NDArray[np.float64]) -> Predictions:
    ids = [f"{split} {number}" for number in range(len(given))]
    return Predictions.from_scores(ids, NAMES, np.arange(len(given)) % C, given)


def member(name: str, strength: float, *seeds: int) -> VariantAnswers:
    test, val = (
        [answers(split, scores(seed + add, strength)) for seed in seeds] for split, add in (("t", 0), ("v", 99))
    )
    return VariantAnswers(name, name, tuple(test), tuple(val))


def side_by_side(*members: VariantAnswers) -> SideBySide:
    return SideBySide(members, "these")


def reference(members: list[VariantAnswers]) -> tuple[NDArray[np.float64], float]:
    """Weights and the validation log loss that they give, by another optimiser, from the definition alone."""
    probabilities = np.stack([np.concatenate([one.probabilities for one in m.validation]) for m in members])
    truth = np.concatenate([one.labels for one in members[0].validation])

    def loss(weights: NDArray[np.float64], of_any: float = 0.0) -> float:
        product = np.prod(probabilities ** weights[:, None, None], axis=0)
        logarithms = np.log(product / product.sum(axis=1, keepdims=True))
        right, other = logarithms[np.arange(len(truth)), truth].sum(), logarithms.mean(axis=1).mean()
        return float(-(right + of_any * other) / (len(truth) + of_any))

    bounds = [(0, 20)] * len(members)
    found = minimize(loss, np.full(len(members), 0.5), args=(1.0,), method="SLSQP", bounds=bounds, tol=1e-12)
    return found.x, loss(found.x)


@pytest.mark.parametrize("seeds", [(1,), (1, 2, 3)])
def test_weights_and_gains_are_those_of_another_optimiser(seeds: tuple[int, ...]) -> None:
    members = [member(f"m{k}", strength, *(10 * k + s for s in seeds)) for k, strength in enumerate((1.0, 1.5, 0.7))]
    fitted = fit_ensemble(side_by_side(*members))
    expected, loss = reference(members)
    assert [fitted.weights[one.name] for one in members] == pytest.approx(expected, abs=2e-3)
    assert np.mean([log_loss(one) for one in fitted.answers.validation]) == pytest.approx(loss, abs=1e-6)
    gains = fitted.table.set_index("member")["gain"]
    for left_out in members:
        others = reference([one for one in members if one is not left_out])[1]
        assert gains[left_out.name] == pytest.approx(others - loss, abs=1e-5)
    assert fitted.best_member.name == "m1" and len(fitted.answers.seeds) == len(seeds)
    assert fitted.table["member"].iloc[0] == "m1"


def test_a_useless_member_and_the_second_of_two_equal_ones_are_dropped() -> None:
    good, useless, against = member("good", 1.5, 1), member("useless", 0.0, 2), member("against", -1.0, 3)
    twin = VariantAnswers("twin", "twin", good.seeds, good.validation)
    fitted = fit_ensemble(side_by_side(good, twin, useless, against))
    assert list(fitted.weights) == ["good"]
    assert fitted.weights["good"] == pytest.approx(reference([good])[0][0], abs=2e-3)
    table = fitted.table.set_index("member")
    assert (table.loc[["twin", "useless", "against"], "weight"] == 0).all()
    assert table.loc["twin", "gain"] == pytest.approx(0, abs=1e-6)


def test_one_for_sure_answers_as_before() -> None:
    only = answers("t", scores(1, 1.0))
    np.testing.assert_allclose(combined([only], [1.0]).probabilities, only.probabilities)
    np.testing.assert_allclose(combined([only, only], [0.25, 0.75]).probabilities, only.probabilities)


def test_test_answers_change_no_weight() -> None:
    first, second = member("a", 1.0, 1), member("b", 1.2, 2)
    other = VariantAnswers("b", "b", member("b", -3.0, 7).seeds, second.validation)
    assert fit_ensemble(side_by_side(first, second)).weights == fit_ensemble(side_by_side(first, other)).weights


def test_validation_clips_and_classes_may_come_in_another_order() -> None:
    first, second = member("a", 1.0, 1), member("b", 1.2, 2)
    turned = second.validation[0].take(np.arange(N)[::-1]).with_class_order(NAMES[::-1])
    moved = VariantAnswers("b", "b", second.seeds, (turned,))
    expected = fit_ensemble(side_by_side(first, second)).weights
    assert fit_ensemble(side_by_side(first, moved)).weights == pytest.approx(expected, abs=1e-6)


def test_what_cannot_be_an_ensemble() -> None:
    good = member("good", 1.0, 1)
    with pytest.raises(UserError, match="2 to 50 members; these has 1; give others"):
        fit_ensemble(side_by_side(good))
    file = VariantAnswers("file", "file.tsv", good.seeds)
    with pytest.raises(UserError, match=r"no validation answers of file, .*; put a folder val beside the files"):
        fit_ensemble(side_by_side(good, file))
    folded = VariantAnswers("folded", "run", good.seeds, run_id="1")
    with pytest.raises(UserError, match=r"folded: trained in folds, .*folds=none"):
        fit_ensemble(side_by_side(good, folded))
    same = VariantAnswers("same", "same", good.seeds, good.seeds)
    with pytest.raises(UserError, match="300 clips have both validation and test answers, for instance 't 0'"):
        fit_ensemble(side_by_side(VariantAnswers("good", "good", good.seeds, good.seeds), same))
    bad = [member(name, -1.0, seed) for seed, name in enumerate(("a", "b"))]
    with pytest.raises(UserError, match="no member helps"):
        fit_ensemble(side_by_side(*bad))


def make_ensemble(**weights: float) -> Ensemble:
    members = {name: make_classifier(name, seed=number) for number, name in enumerate(weights)}
    return Ensemble(members, weights).eval()


def probabilities(classifier: Classifier, features: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    with torch.no_grad():
        found, _ = classifier.answers(*(torch.tensor(features[name])[None] for name in ("audio", "video")))
    made: NDArray[np.float64] = torch.softmax(found[0].double(), 0).numpy()
    return made


def product(*weighted: tuple[NDArray[np.float64], float]) -> NDArray[np.float64]:
    raised: NDArray[np.float64] = np.prod([given**weight for given, weight in weighted], axis=0)
    made: NDArray[np.float64] = raised / raised.sum()
    return made


def test_an_ensemble_answers_the_weighted_product_of_its_members() -> None:
    ensemble, features = make_ensemble(late=0.7, audio_only=0.4, lstm=1.3), make_features(5, 5)
    expected = product(*((probabilities(one, features), ensemble.weights[n]) for n, one in ensemble.members.items()))
    found = answer(ensemble, features)
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5)
    assert found.scene == CLASSES[expected.argmax()] and found.modalities == ("audio", "video")
    made = make_timeline(ensemble, features, every(1.0))
    np.testing.assert_allclose(made.probabilities.sum(1), 1)


def test_where_a_modality_is_missing_those_members_answer_that_can() -> None:
    ensemble, features = make_ensemble(late=0.7, audio_only=0.4, video_only=0.2), make_features(5, 5)
    nothing = np.zeros((0, 0), np.float32)
    for lacking, name in (("video", "audio_only"), ("audio", "video_only")):
        found = answer(ensemble, features | {lacking: nothing})
        expected = probabilities(ensemble.members[name], features)  # alone, its weight is 1
        np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5)
        assert found.modalities == (name.removesuffix("_only"),)
        made = make_timeline(ensemble, features | {lacking: nothing}, every(1.0))
        assert np.isnan(made.shares[lacking]).all()


def test_members_that_answer_alone_share_the_clip_by_their_weights() -> None:
    late, audio = make_classifier("late"), make_classifier("audio_only", seed=1)
    object.__setattr__(late.description, "answers_alone", ("audio",))
    ensemble, features = (
        Ensemble({"late": late, "audio_only": audio}, {"late": 0.9, "audio_only": 0.3}).eval(),
        make_features(5, 5),
    )
    found = answer(ensemble, features | {"video": np.zeros((0, 0), np.float32)})
    mean = {**features, "video": np.full((5, 4), 2, np.float32)}
    expected = product((probabilities(late, mean), 0.75), (probabilities(audio, mean), 0.25))
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5)
    with pytest.raises(UserError, match=r"no companion for pictures alone; make an ensemble with .*, as video_only"):
        responsible(ensemble, ("video",))


def test_companions_of_members_answer_where_no_member_can(tmp_path: Path) -> None:
    late = with_companions()
    expected = dict(late.companions)
    Ensemble({"late": late, "lstm": make_classifier("lstm")}, {"late": 0.5, "lstm": 0.5}).save(tmp_path)
    ensemble, features = open_classifier(tmp_path), make_features(5, 5)
    assert set(ensemble.companions) == {"audio_only", "video_only"}
    found = answer(ensemble, features | {"video": np.zeros((0, 0), np.float32)})
    np.testing.assert_allclose(found.probabilities, probabilities(expected["audio_only"], features), rtol=1e-6)


def test_an_ensemble_is_read_as_it_was_written(tmp_path: Path) -> None:
    ensemble, features = make_ensemble(late=0.7, audio_only=0.4), make_features(5, 5)
    ensemble.save(tmp_path)
    loaded = open_classifier(tmp_path)
    assert isinstance(loaded, Ensemble) and loaded.weights == ensemble.weights
    np.testing.assert_array_equal(answer(loaded, features).probabilities, answer(ensemble, features).probabilities)
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert written == [
        "classifier.json",
        *(
            f"members/{name}/{file}"
            for name in ("audio_only", "late")
            for file in ("classifier.json", "weights.safetensors")
        ),
    ]
    assert isinstance(open_classifier(tmp_path / "members" / "late"), SceneClassifier)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds a list"),
        ("{}", "weights"),
        ('{"weights": {"late": 1.0}}', "not those of its members"),
        ('{"weights": {"late": 1.0, "audio_only": -1.0}}', "the weight of audio_only is -1.0"),
        ('{"weights": {"late": 1.0, "audio_only": NaN}}', "the weight of audio_only is nan"),
        ('{"weights": {"late": 1.0, "audio_only": "1"}}', "the weight of audio_only is 1"),
    ],
)
def test_a_damaged_ensemble_is_told_of_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    make_ensemble(late=0.7, audio_only=0.4).save(tmp_path)
    (tmp_path / "classifier.json").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        open_classifier(tmp_path)
    assert "\n" not in str(caught.value) and "no usable ensemble" in str(caught.value)


def test_members_on_other_features_are_refused() -> None:
    with pytest.raises(UserError, match="audio_only was trained on other features"):
        Ensemble(
            {"late": make_classifier("late"), "audio_only": make_classifier("audio_only", embedder=True)},
            {"late": 1.0, "audio_only": 1.0},
        )
