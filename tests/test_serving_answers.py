"""From features to scenes: companions, timelines, shares; blank sound and pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from avfusion.embedders import load_embedder
from avfusion.embedders.pair import PACKAGE
from avfusion.errors import UserError
from avfusion.figures import clip_timeline
from avfusion.fusion import Shape, build, variants
from avfusion.media import MediaError
from avfusion.serving.answers import answer, responsible
from avfusion.serving.content import ContentWatcher
from avfusion.serving.embedding import WEIGHTS, carried_weights, check_named, load_same, save_embedder
from avfusion.serving.extractor import Extractor, SharedExtractors
from avfusion.serving.queries import Query
from avfusion.serving.timeline import make_timeline
from avfusion.training.classifier import Description
from avfusion.training.experiment import hyperparameters
from avfusion.training.scene_classifier import SceneClassifier
from avfusion.training.standardization import Standardize
from tests.fakes import FakeEmbedder
from tests.media_files import greys, make_clip, tone, write_sound, write_video

CLASSES = ("airport", "bus", "park")
DIM = 4
DEMO = load_embedder("demo", weights="untrained", device="cpu").provenance


def make_classifier(variant: str, *, n_frames: int = 5, seed: int = 0, embedder: bool = False) -> SceneClassifier:
    """An untrained classifier whose features have mean 2 and standard deviation 3, as wide as those of the `embedder`
    demo or narrow."""
    torch.manual_seed(seed)
    dims = tuple(int(str(DEMO[f"{name}_size"])) for name in ("audio", "image")) if embedder else (DIM, DIM)
    params = {name: entry.default for name, entry in hyperparameters(variants()[variant]).items()}
    shape = Shape(dims[0], dims[1], n_frames, len(CLASSES))
    description = Description(variant, shape, params, CLASSES, {"embedder": DEMO})
    audio, video = (Standardize(np.full(dim, 2, np.float32), np.full(dim, 3, np.float32)) for dim in dims)
    return SceneClassifier(description, audio, video, build(variants()[variant], shape, params)).eval()


def make_features(audio: int, video: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    return {
        name: generator.normal(2, 3, (n, DIM)).astype(np.float32) for name, n in (("audio", audio), ("video", video))
    }


def with_companions(variant: str = "late", *, embedder: bool = False) -> SceneClassifier:
    fusion = make_classifier(variant, embedder=embedder)
    for seed, name in enumerate(("audio_only", "video_only"), 1):
        fusion.companions[name] = make_classifier(name, seed=seed, embedder=embedder)
    return fusion


@pytest.mark.parametrize("variant", sorted(variants()))
def test_every_variant_answers_and_has_a_timeline(variant: str) -> None:
    classifier, features = make_classifier(variant), make_features(12, 12)
    found = answer(classifier, features)
    with torch.no_grad():
        log_probabilities, decisions = classifier.answers(
            *(torch.tensor(features[m])[None] for m in ("audio", "video"))
        )
    assert found.scene == CLASSES[int(decisions[0])]
    np.testing.assert_allclose(found.probabilities, torch.softmax(log_probabilities[0].double(), 0), rtol=1e-6)
    made = make_timeline(classifier, features, every(0.25))
    assert made.seconds.tolist() == [0, 1, 2]
    np.testing.assert_allclose(made.probabilities.sum(1), 1)


def test_companions_answer_where_a_modality_is_missing(tmp_path: Path) -> None:
    with_companions().save(tmp_path)
    fusion = SceneClassifier.load(tmp_path)
    assert list(fusion.companions) == ["audio_only", "video_only"]
    for missing, kept in (("audio", "video"), ("video", "audio")):
        features = make_features(6, 6) | {missing: np.zeros((0, 0), np.float32)}
        found = answer(fusion, features)
        assert found.modalities == (kept,)
        alone = answer(fusion.companions[f"{kept}_only"], features)
        np.testing.assert_array_equal(found.probabilities, alone.probabilities)
    assert answer(fusion, make_features(6, 6)).modalities == ("audio", "video")


def test_diagnostics_are_those_of_the_model_and_unknown_where_a_companion_answers() -> None:
    fusion, features = with_companions("evidential"), make_features(6, 6)
    found = answer(fusion, features)
    assert list(found.diagnostics) == list(fusion.network.diagnosed)
    with torch.no_grad():
        expected = fusion.diagnostics(*(torch.tensor(features[m])[None] for m in ("audio", "video")))
    assert found.diagnostics == {name: pytest.approx(float(value)) for name, value in expected.items()}
    alone = answer(fusion, features | {"audio": np.zeros((0, 0), np.float32)})
    assert alone.diagnostics == dict.fromkeys(found.diagnostics)
    assert answer(with_companions("late"), features).diagnostics == {}


def test_without_a_companion_it_says_so() -> None:
    message = "late needs pictures, and this model has no companion for sound alone; .* variants=audio_only,late"
    with pytest.raises(UserError, match=message):
        responsible(make_classifier("late"), ("audio",))
    with pytest.raises(UserError, match=r"^video_only needs pictures$"):
        responsible(make_classifier("video_only"), ("audio",))
    with pytest.raises(UserError, match=r"^late needs sound and pictures$"):
        responsible(with_companions(), ())


def test_pictures_follow_the_length_of_the_sound() -> None:
    classifier, features = make_classifier("two_stage"), make_features(6, 4)
    paired = features | {"video": features["video"][[0, 1, 1, 2, 3, 3]]}
    np.testing.assert_allclose(answer(classifier, features).probabilities, answer(classifier, paired).probabilities)
    made, expected = (make_timeline(classifier, given, every(0.5)) for given in (features, paired))
    np.testing.assert_allclose(made.probabilities, expected.probabilities)
    assert made.seconds.tolist() == [0, 1, 2]


def test_variants_that_average_take_every_picture_once() -> None:
    classifier, features = make_classifier("late"), make_features(7, 3)
    averaged = {name: frames.mean(axis=0, keepdims=True) for name, frames in features.items()}
    np.testing.assert_allclose(
        answer(classifier, features).probabilities, answer(classifier, averaged).probabilities, rtol=1e-5
    )


def test_a_second_is_answered_by_its_own_moments() -> None:
    classifier, features = make_classifier("late"), make_features(25, 25)
    made = make_timeline(classifier, features, every(0.1))
    assert made.seconds.tolist() == [0, 1, 2]
    for second, moments in ((0, slice(0, 10)), (1, slice(10, 20)), (2, slice(20, 25))):
        alone = answer(classifier, {name: frames[moments] for name, frames in features.items()})
        np.testing.assert_allclose(made.probabilities[second], alone.probabilities, rtol=1e-5)
        assert CLASSES[made.decisions[second]] == alone.scene


def test_share_is_the_change_of_the_winner_when_a_modality_becomes_its_mean() -> None:
    classifier, features = make_classifier("early"), make_features(8, 8)
    made = make_timeline(classifier, features, every(0.25))
    for modality in ("audio", "video"):
        replaced = features | {modality: np.full((8, DIM), 2, np.float32)}
        for second in (0, 1):
            moments = slice(4 * second, 4 * second + 4)
            with_, without = (
                answer(classifier, {n: f[moments] for n, f in all_.items()}) for all_ in (features, replaced)
            )
            winner = int(made.decisions[second])
            expected = with_.probabilities[winner] - without.probabilities[winner]
            assert made.shares[modality][second] == pytest.approx(expected, abs=1e-6)


def test_shares_of_what_is_not_heard() -> None:
    unimodal = make_timeline(make_classifier("audio_only"), make_features(8, 8), every(0.25))
    np.testing.assert_array_equal(unimodal.shares["video"], 0)
    lacking = make_timeline(
        with_companions(), make_features(8, 8) | {"audio": np.zeros((0, 0), np.float32)}, every(0.25)
    )
    assert np.isnan(lacking.shares["audio"]).all() and np.isfinite(lacking.shares["video"]).all()
    with pytest.raises(UserError, match="above 0; got 0"):
        make_timeline(with_companions(), make_features(8, 8), every(0.0))


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def test_timeline_table_and_figure() -> None:
    made = make_timeline(with_companions(), make_features(25, 25), every(0.1))
    table = made.table()
    by_class = [f"probability/{name}" for name in CLASSES]
    assert list(table.columns) == ["second", "scene", "probability", "audio_share", "video_share", *by_class]
    np.testing.assert_allclose(table["probability"], table[by_class].max(axis=1))
    figure = clip_timeline(made.seconds, made.probabilities, CLASSES, made.shares, "a clip", note="synthetic scenes")
    above, below = figure.axes
    assert legend(below) == ["sound", "picture"]
    assert len(legend(above)) == len(CLASSES)
    assert below.get_xlim() == (0, 3)
    with pytest.raises(UserError, match=r"shape \(3, 3\) for 2 seconds, 3 classes"):
        clip_timeline(made.seconds[:2], made.probabilities, CLASSES, made.shares, "a clip")


def test_many_classes_share_a_grey_area() -> None:
    probabilities = np.full((4, 12), 1 / 12)
    shares = {"audio": np.zeros(4), "video": np.full(4, np.nan)}
    figure = clip_timeline(np.arange(4), probabilities, tuple("abcdefghijkl"), shares, "a clip")
    names = legend(figure.axes[0])
    assert len(names) == 8 and "5 others" in names


def every(step: float) -> dict[str, float]:
    """Both modalities with frames that many seconds apart."""
    return {"audio": step, "video": step}


def test_blank_input_counts_as_missing() -> None:
    watcher = ContentWatcher(FakeEmbedder())
    silence, sound = np.zeros((4800, 1), np.float32), np.full((4800, 1), 0.2, np.float32)
    with pytest.raises(MediaError, match="no sound: it is silent"):
        watcher.embed_audio([silence], 48_000)
    for quiet in (sound, -sound):
        assert len(watcher.embed_audio([silence, quiet], 48_000)) == 2
    black, bright = np.full((4, 4, 3), 16, np.uint8), np.full((4, 4, 3), 17, np.uint8)
    with pytest.raises(MediaError, match="no pictures: they are black"):
        watcher.embed_video([black, black])
    assert len(watcher.embed_video([black, bright])) == 2


def test_the_embedder_must_be_the_one_of_the_features(tmp_path: Path) -> None:
    assert load_same(DEMO, device="cpu").provenance == DEMO
    check_named(DEMO, "demo")
    with pytest.raises(
        UserError, match=r"embedder=openl3: the model's features were made by demo \(weights untrained\)"
    ):
        check_named(DEMO, "openl3")
    with pytest.raises(UserError, match=r"made by demo \(weights 0123456789ab\), but here is demo .* other weights"):
        load_same({**DEMO, "weights": "0123456789abcdef", "trained": True}, weights="untrained")
    with pytest.raises(UserError, match=r"made by 'imported', which is no embedder .*demo, openl3.* ready features"):
        load_same({"name": "imported", "weights": "unknown", "trained": True})
    with pytest.raises(UserError, match="does not say with which weights and precision of 'demo' its features were"):
        load_same({"name": "demo", "trained": True})


def test_a_model_carries_weights_that_the_package_has_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    untrained = load_same(DEMO, device="cpu")
    assert isinstance(untrained, ContentWatcher)
    file = tmp_path / "mine.safetensors"
    untrained.watched.save_weights(file)  # type: ignore[attr-defined]
    mine = load_embedder("demo", weights=str(file), device="cpu").provenance
    features = {"embedder": {name: value for name, value in mine.items() if name != "weights_files"}}
    assert mine["weights_files"] == [str(file)]
    save_embedder({**features, "weights_files": mine["weights_files"]}, tmp_path)
    assert carried_weights(tmp_path) == str(tmp_path / WEIGHTS[0])
    assert load_same(features["embedder"], carried_weights(tmp_path), "cpu").provenance["weights"] == mine["weights"]
    file.unlink()
    (tmp_path / WEIGHTS[0]).unlink()
    save_embedder({**features, "weights_files": mine["weights_files"]}, tmp_path)
    assert carried_weights(tmp_path) is None
    assert "does not carry the weights of demo" in caplog.text
    save_embedder({"embedder": DEMO}, tmp_path)
    assert carried_weights(tmp_path) is None


def test_a_model_carries_the_half_of_a_pair_that_the_package_has_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = "demo+yamnet"
    untrained = load_embedder(name, weights={"video": "untrained"}, device="cpu")
    expected = dict(untrained.provenance)
    assert load_same(expected, device="cpu").provenance == expected
    (tmp_path / "mine").mkdir()
    untrained.video.save_weights(tmp_path / "mine" / "video.safetensors")  # type: ignore[attr-defined]
    mine = dict(load_embedder(name, weights=str(tmp_path / "mine"), device="cpu").provenance)
    files = mine.pop("weights_files")
    save_embedder({"embedder": mine, "weights_files": files}, tmp_path)
    assert [path.name for path in (tmp_path / WEIGHTS[1]).iterdir()] == ["video.safetensors"]
    assert carried_weights(tmp_path) == str(tmp_path / WEIGHTS[1])
    again = load_same(mine, carried_weights(tmp_path), "cpu")
    assert again.provenance["video"]["weights"] == mine["video"]["weights"]
    with pytest.raises(UserError, match=r"but here is demo \(.*\) \+ yamnet \(.*\) with other video weights"):
        load_same(mine, device="cpu")
    (tmp_path / "mine" / "video.safetensors").unlink()
    save_embedder({"embedder": mine, "weights_files": files}, tmp_path / "nothing")
    assert "does not carry the weights of demo (weights" in caplog.text
    caplog.clear()
    pair = load_embedder("efficientnet_lite0+yamnet", device="cpu").provenance
    demo = load_embedder("demo", device="cpu").provenance
    for embedder in (pair, demo):
        for files in (embedder["weights_files"], elsewhere(embedder["weights_files"])):
            save_embedder({"embedder": embedder, "weights_files": files}, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists() and caplog.text == ""


def elsewhere(files: Any) -> Any:
    """Files of the package as they were in a copy of it that is gone."""
    if isinstance(files, dict):
        return {place: elsewhere(half) for place, half in files.items()}
    return [str(Path("/gone/avfusion") / Path(file).relative_to(PACKAGE)) for file in files]


def test_clips_to_parts_in_a_process(tmp_path: Path) -> None:
    """Both files, sound alone, pictures alone, black pictures, and something that is no clip."""
    make_clip(tmp_path, "both", seconds=1.0, frames=10)
    write_sound(tmp_path / "sound.wav", 0.5 * tone(1, 24_000), "pcm_s16le", "s16", "mono")
    write_video(tmp_path / "slow.avi", greys(4, 16, 16)[1:], codec="rawvideo", pixels="bgr24")
    write_video(tmp_path / "black.avi", [np.zeros((16, 16, 3), np.uint8)] * 6, codec="rawvideo", pixels="bgr24")
    (tmp_path / "text.mp4").write_text("this is no clip")
    both = Query("both", tmp_path / "both.wav", tmp_path / "both.avi")
    queries = [
        both,
        Query("sound", tmp_path / "sound.wav", tmp_path / "sound.wav"),
        Query("slow", tmp_path / "slow.avi", tmp_path / "slow.avi"),
        Query("black", tmp_path / "both.wav", tmp_path / "black.avi"),
        Query("text", tmp_path / "text.mp4", tmp_path / "text.mp4"),
    ]
    options = {"weights": None, "device": "cpu", "timeout": 60.0}
    with Extractor(DEMO, workers=1, **options) as extractor:  # type: ignore[arg-type]
        first = dict(extractor.parts(queries, ("audio", "video")))
        (again,) = [part for _, part in extractor.parts([both], ("audio",))]
    assert [bool(first[n].reason) for n in range(5)] == [False, False, False, False, True]
    assert len(first[0].audio) == len(first[0].video) and first[0].audio_step == pytest.approx(0.2)
    assert first[1].note == "no pictures: the file has no such stream" and len(first[1].audio)
    assert first[2].note == "no sound: the file has no such stream" and len(first[2].video)
    assert first[3].note == "no pictures: they are black throughout" and len(first[3].audio)
    assert "Invalid data" in first[4].reason
    np.testing.assert_array_equal(again.audio, first[0].audio)
    assert not len(again.video) and again.note == ""


def test_an_embedder_that_cannot_be_had_is_said_and_the_next_caller_need_not_wait() -> None:
    embedder = {**DEMO, "hop": -1.0}
    shared = SharedExtractors(1, queue=1, patience=5.0, embedder=embedder, weights=None, device="cpu", timeout=5.0)
    with pytest.raises(UserError, match=r"hop=-1.0; expected seconds above 0"), shared.one():
        pass
    assert shared.free == 1


def test_an_answer_is_of_finite_numbers() -> None:
    far = {name: np.full((5, DIM), 3e38, np.float32) for name in ("audio", "video")}
    with pytest.raises(UserError, match="late has no answer: its numbers are not finite"):
        answer(make_classifier("late"), far)
    damaged = make_classifier("audio_only")
    for weights in damaged.parameters():
        weights.data.fill_(float("nan"))
    with pytest.raises(UserError, match="audio_only has no answer"):
        answer(damaged, make_features(5, 5))
    with pytest.raises(UserError, match="audio_only has no answer"):
        make_timeline(damaged, make_features(5, 5), every(0.5))


def test_a_fusion_trained_for_it_answers_by_itself_with_the_other_modality_at_its_mean(tmp_path: Path) -> None:
    fusion, features = with_companions("early"), make_features(6, 6)
    fusion.description = replace(fusion.description, answers_alone=("audio",))
    fusion.save(tmp_path)
    fusion = SceneClassifier.load(tmp_path)
    lacking = features | {"video": np.zeros((0, 0), np.float32)}
    at_mean = features | {"video": np.full((6, DIM), 2, np.float32)}
    found = answer(fusion, lacking)
    assert found.modalities == ("audio",)
    np.testing.assert_array_equal(found.probabilities, answer(fusion, at_mean).probabilities)
    assert responsible(fusion, ("video",)) is fusion.companions["video_only"]
    assert np.isnan(make_timeline(fusion, lacking, {"audio": 0.25, "video": 0.0}).shares["video"]).all()
