from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from avfusion.errors import UserError
from avfusion.l3 import pictures
from avfusion.l3.area_pictures import area_picture
from avfusion.l3.pictures import stream_pictures


def noise(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> Any:
    return np.random.RandomState(seed).randint(0, 256, shape).astype(dtype)


def prepare_pictures(frames: Any) -> Any:
    """Frames [H, W, 3] or [N, H, W, 3] of one clip -> pictures [N, 224, 224, 3]."""
    return np.stack(list(stream_pictures(frames if frames.ndim == 4 else frames[None])))


def rescaled(frame: Any) -> Any:
    """Order 1 at (i + 0.5) * in / out - 0.5, whole picture first, then the centre, in float64."""
    scale = 256 / min(frame.shape[:2])
    height, width = (round(scale * side) for side in frame.shape[:2])
    rows = (np.arange(height) + 0.5) * frame.shape[0] / height - 0.5
    columns = (np.arange(width) + 0.5) * frame.shape[1] / width - 0.5
    grid = np.meshgrid(rows, columns, indexing="ij")
    channels = [map_coordinates(frame[..., c].astype(np.float64), grid, order=1, mode="nearest") for c in range(3)]
    top, left = height // 2 - 112, width // 2 - 112
    return np.stack(channels, axis=-1)[top : top + 224, left : left + 224]


@pytest.mark.parametrize("size", [(257, 300), (360, 480), (640, 360), (720, 1280), (839, 659)])
def test_large_integer_frames_are_rescaled_to_0_1(size: tuple[int, int]) -> None:
    frame = noise(*size, 3)
    np.testing.assert_allclose(prepare_pictures(frame)[0], rescaled(frame / 255), atol=3e-7)


def test_other_types_of_large_frames() -> None:
    frame = noise(300, 400, 3)
    for dtype, largest in ((np.uint16, 65535), (np.uint32, 2**32 - 1), (np.int16, 32767), (np.int64, 2**63 - 1)):
        expected = rescaled(frame / largest)
        np.testing.assert_allclose(prepare_pictures(frame.astype(dtype))[0], expected, rtol=1e-5)
    np.testing.assert_allclose(prepare_pictures(-frame.astype(np.int16))[0], -rescaled(frame / 32767), rtol=1e-5)
    assert prepare_pictures(np.full((300, 300, 3), -128, dtype=np.int8)).min() == -1
    floats = (frame / 255).astype(np.float64)
    np.testing.assert_allclose(prepare_pictures(floats)[0], rescaled(floats), atol=1e-7)
    half = floats.astype(np.float16)
    np.testing.assert_allclose(prepare_pictures(half)[0], rescaled(half), atol=1e-6)
    assert set(np.unique(prepare_pictures(frame > 127))) == {0, 1}


def test_frames_of_exactly_224_are_mapped_to_minus_1_1() -> None:
    frame = noise(224, 224, 3)
    np.testing.assert_allclose(prepare_pictures(frame)[0], 2 * (frame / 255) - 1, atol=1e-6)
    signed = frame.astype(np.int16) - 128
    np.testing.assert_allclose(prepare_pictures(signed)[0], signed / 32767, atol=1e-7)
    floats = (frame / 255).astype(np.float32)
    assert np.array_equal(prepare_pictures(floats)[0], floats)
    np.testing.assert_allclose(prepare_pictures(floats * 4)[0], floats / floats.max(), rtol=1e-6)


@pytest.mark.parametrize("size", [(224, 300), (240, 320), (256, 256), (256, 340)])
def test_frames_in_between_stay_raw_and_share_the_clips_maximum(size: tuple[int, int]) -> None:
    clip = np.stack([noise(*size, 3) // 4, noise(*size, 3, seed=1) // 2])
    top, left = size[0] // 2 - 112, size[1] // 2 - 112
    crops = clip[:, top : top + 224, left : left + 224].astype(np.float32)
    np.testing.assert_allclose(prepare_pictures(clip), crops / crops.max(), rtol=1e-6)
    dark = np.minimum(clip, 1)
    assert np.array_equal(prepare_pictures(dark), dark[:, top : top + 224, left : left + 224])


def test_large_floats_share_the_clips_maximum() -> None:
    clip = noise(2, 300, 300, 3).astype(np.float32) * np.array([1, 0.5], dtype=np.float32)[:, None, None, None]
    expected = np.stack([rescaled(frame) for frame in clip])
    np.testing.assert_allclose(prepare_pictures(clip), expected / expected.max(), rtol=1e-5, atol=1e-6)


def test_small_frames_are_scaled_up() -> None:
    frame = noise(90, 120, 3)
    np.testing.assert_allclose(prepare_pictures(frame)[0], rescaled(frame / 255), atol=3e-7)
    assert prepare_pictures(noise(1, 1, 3)).shape == (1, 224, 224, 3)


def test_crops_that_wait_on_disk_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = noise(5, 240, 320, 3)
    in_memory = prepare_pictures(clip)
    monkeypatch.setattr(pictures, "_SPOOL_BYTES", 1000)
    assert np.array_equal(prepare_pictures(clip), in_memory)


def test_bounded_frames_are_streamed_one_by_one() -> None:
    taken = []

    def frames() -> Iterator[Any]:
        for index in range(3):
            taken.append(index)
            yield noise(300, 300, 3)

    stream = stream_pictures(frames())
    next(stream)
    assert taken == [0]
    assert len(list(stream)) == 2
    assert list(stream_pictures([])) == []


def test_sizes_that_need_different_ranges_are_refused() -> None:
    assert len(list(stream_pictures([noise(300, 300, 3), noise(400, 300, 3)]))) == 2
    with pytest.raises(UserError, match=r"frame size changes within the clip to 240x320 uint8"):
        list(stream_pictures([noise(300, 300, 3), noise(240, 320, 3)]))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((300, 300)), r"shape \[300, 300\]"),
        (np.zeros((300, 300, 4)), r"shape \[300, 300, 4\]; expected RGB"),
        (np.zeros((0, 300, 3)), r"shape \[0, 300, 3\]"),
        (np.zeros((300, 300, 3), dtype=complex), "values of type complex128"),
    ],
)
def test_what_is_no_picture_is_refused(frame: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(stream_pictures([frame]))
    with pytest.raises(UserError, match=message):
        area_picture(frame, 64)


def test_area_pictures_average_the_centre_square() -> None:
    blocks = noise(64, 64, 3)
    enlarged = np.kron(blocks, np.ones((3, 3, 1), dtype=np.uint8))
    wide = np.concatenate([noise(192, 50, 3), enlarged, noise(192, 50, 3)], axis=1)
    np.testing.assert_allclose(area_picture(wide, 64), blocks / 255, atol=1e-6)
    means = enlarged[:128, :128].reshape(64, 2, 64, 2, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(area_picture(enlarged[:128, :128], 64), means, atol=1e-6)
    assert area_picture(noise(20, 30, 3), 64).shape == (64, 64, 3)
    large = area_picture(noise(720, 1280, 3), 64)
    assert large.dtype == np.float32
    assert abs(large.mean() - 0.5) < 0.01
