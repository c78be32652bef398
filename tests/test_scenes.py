"""The synthetic demo scenes: layout, media, determinism, resumption, what sound and picture share."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from avfusion.datasets.scenes import MARKER, render_scenes
from avfusion.datasets.scenes.moment import Moment, draw_location, draw_moment
from avfusion.datasets.scenes.noise import SAMPLE_RATE, curve, noise
from avfusion.datasets.scenes.picture import ELEMENTS, render_picture
from avfusion.datasets.scenes.recipes import RECIPES
from avfusion.datasets.scenes.sound import SOURCES, render_sound
from avfusion.errors import UserError

TAU_CLASSES = [
    "airport",
    "bus",
    "metro",
    "metro_station",
    "park",
    "public_square",
    "shopping_mall",
    "street_pedestrian",
    "street_traffic",
    "tram",
]


def render(root: Path, seed: int = 5, segments: int = 1, workers: int | None = 1) -> Path:
    return render_scenes(
        root, seed=seed, locations=3, test_locations=1, segments=segments, seconds=0.5, workers=workers
    )


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("scenes") / "set")


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def media(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.glob("*/*.[wm][ap]*"))}


def test_layout_is_that_of_tau(scenes: Path) -> None:
    setup = scenes / "evaluation_setup"
    meta, train, test = (
        table(path) for path in (scenes / "meta.csv", setup / "fold1_train.csv", setup / "fold1_evaluate.csv")
    )
    assert (len(meta), len(train), len(test)) == (30, 20, 10)
    assert meta == train + test
    assert sorted({row["scene_label"] for row in meta}) == TAU_CLASSES
    unlabelled = [{key: row[key] for key in ("filename_audio", "filename_video")} for row in test]
    assert table(setup / "fold1_test.csv") == unlabelled
    for row in meta:
        stem = Path(row["filename_audio"]).stem
        scene, city, location, segment = stem.split("-")
        assert row["filename_audio"] == f"audio/{stem}.wav" and row["filename_video"] == f"video/{stem}.mp4"
        assert scene == row["scene_label"] and city.islower()
        assert location.isdigit() and segment.isdigit()
    listed = {row[key] for row in meta for key in ("filename_audio", "filename_video")}
    assert set(media(scenes)) == listed, "nothing temporary may stay behind"


def test_locations_are_unique_and_never_shared(scenes: Path) -> None:
    def locations(name: str) -> set[tuple[str, str]]:
        rows = table(scenes / "evaluation_setup" / name)
        return {(row["scene_label"], row["filename_audio"].split("-")[2]) for row in rows}

    train, test = locations("fold1_train.csv"), locations("fold1_evaluate.csv")
    numbers = [number for _, number in train | test]
    assert len(numbers) == len(set(numbers)) == 30
    assert not train & test


def test_marker_says_synthetic(scenes: Path) -> None:
    marker = json.loads((scenes / MARKER).read_text())
    assert marker["synthetic"] is True
    assert marker["parameters"] == {
        "seed": 5,
        "locations": 3,
        "test_locations": 1,
        "segments": 1,
        "seconds": 0.5,
    }
    assert marker["generator"] and marker["version"]


def test_media_read_back(scenes: Path) -> None:
    row = table(scenes / "meta.csv")[0]
    with av.open(str(scenes / row["filename_audio"])) as container:
        (stream,) = container.streams
        assert isinstance(stream, av.AudioStream)
        assert (stream.codec_context.name, stream.rate, stream.channels) == ("pcm_s16le", 48_000, 2)
        n_samples = sum(frame.samples for frame in container.decode(stream))
    assert n_samples == 24_000
    with av.open(str(scenes / row["filename_video"])) as container:
        (stream,) = container.streams
        assert isinstance(stream, av.VideoStream)
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (160, 120) and stream.average_rate == 8
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(pictures) == 4
    location = draw_location(5, row["scene_label"], 0)
    rendered = np.stack(render_picture(draw_moment(location, 0, 0.5)))
    assert np.abs(np.stack(pictures).astype(float) - rendered).mean() < 8, "the coded picture is the rendered one"


def test_same_seed_same_bytes_on_any_number_of_processes(scenes: Path, tmp_path: Path) -> None:
    again = render(tmp_path / "again", segments=2, workers=2)
    first, second = media(scenes), media(again)
    assert first.items() <= second.items(), "a clip depends on its own names only"


def test_another_seed_gives_other_clips(scenes: Path, tmp_path: Path) -> None:
    first, second = media(scenes), media(render(tmp_path / "other", seed=6))
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)


def test_complete_set_is_left_alone_and_a_broken_one_continued(tmp_path: Path) -> None:
    root = render(tmp_path / "set")
    before, (name, *_) = media(root), media(root)
    stamps = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    render(root)
    assert stamps == {path: path.stat().st_mtime_ns for path in root.rglob("*")}

    (root / name).unlink()
    (root / MARKER).rename(root / ".synthetic.json.unfinished")  # as an interrupted run leaves it
    (root / "meta.csv").unlink()
    kept = root / sorted(before)[-1]
    render(root)
    assert media(root) == before
    assert kept.stat().st_mtime_ns == stamps[kept], "finished clips are not rendered again"
    assert (root / MARKER).exists() and (root / "meta.csv").exists()


def test_foreign_folders_are_refused(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="other parameters than seed=6"):
        render(scenes, seed=6)
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(UserError, match=f"{tmp_path} holds other files"):
        render(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"locations": 2, "test_locations": 2}, "2 test locations of 2"),
        ({"segments": 0}, "0 segments"),
        ({"seconds": 0.1}, r"clips of 0\.1 s"),
    ],
)
def test_impossible_parameters(tmp_path: Path, wrong: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        render_scenes(tmp_path / "set", **wrong)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("scene", TAU_CLASSES)
def test_every_class_renders_within_full_scale(scene: str) -> None:
    for location in range(2):
        moment = draw_moment(draw_location(1, scene, location), 0, 1.0)
        sound, frames = render_sound(moment), render_picture(moment)
        assert sound.shape == (48_000, 2) and sound.dtype == np.int16
        assert 0.04 * 32767 < np.abs(sound.astype(int)).max() <= 0.91 * 32767
        assert len(frames) == 8 and frames[0].shape == (120, 160, 3) and frames[0].dtype == np.uint8
        assert np.std(frames[0]) > 5, "a picture, not an empty frame"


def test_recipes_name_known_parts_and_sensible_chances() -> None:
    assert list(RECIPES) == TAU_CLASSES
    for scene, recipe in RECIPES.items():
        assert set(recipe.picture) <= set(ELEMENTS) and set(recipe.sound) <= set(SOURCES)
        for probability, low, high in [*recipe.picture.values(), *recipe.sound.values()]:
            assert 0 < probability <= 1 and low <= high
        for siblings in (recipe.looks_like, recipe.sounds_like):
            assert set(siblings) <= set(RECIPES) - {scene}
            assert sum(siblings.values()) < 0.5, "the class itself stays the likeliest"


def loudness(moment: Moment, low: float, high: float) -> float:
    """Share of the sound's power between two frequencies."""
    sound = render_sound(moment).mean(axis=1)
    power = np.abs(np.fft.rfft(sound)) ** 2
    frequencies = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    return float(power[(frequencies > low) & (frequencies < high)].sum() / power.sum())


def test_sound_and_picture_share_their_causes() -> None:
    square = draw_moment(draw_location(3, "street_traffic", 0), 0, 2.0)
    square = replace(square, view="street_traffic", soundscape="street_traffic", people=0.0)
    quiet, busy = (replace(square, passings=passings) for passings in ((), ((1.0, 1),)))
    change = np.abs(np.diff(np.stack(render_picture(busy)).astype(float), axis=0)).mean()
    still = np.abs(np.diff(np.stack(render_picture(quiet)).astype(float), axis=0)).mean()
    assert change > still + 0.5, "a passing car is seen"

    def swell(moment: Moment) -> float:
        sound = render_sound(moment).astype(float)
        return float(np.std(sound[36_000:60_000]) / np.std(sound))

    assert swell(busy) > 1.1 * swell(quiet), "and heard when it is seen"


def test_noise_has_the_asked_power_and_curve_is_straight() -> None:
    sound = noise(np.random.default_rng(0), 96_000, [-99, -99, -99, -99, -99, 0, -99, -99, -99, -99])
    assert np.std(sound) == pytest.approx(1.0, abs=0.05)
    power = np.abs(np.fft.rfft(sound)) ** 2
    centre = np.fft.rfftfreq(96_000, 1 / SAMPLE_RATE)[power.argmax()]
    assert 600 < centre < 1700
    long = noise(np.random.default_rng(0), 700_000, [0.0] * 10)
    assert len(long) == 700_000 and np.isfinite(long).all()
    np.testing.assert_allclose(curve([0.0, 1.0, 0.0], 8), [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25])
