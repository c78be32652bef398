"""Decoding against what was encoded, and against what is broken on purpose."""

import base64
import os
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from avfusion.media import Frame, Limits, MediaError, VideoReader, frame_indices, read_sound, stream_sound
from tests.media_files import greys, tone, write_covered, write_sound, write_video


def levels(reader: VideoReader, count: int) -> list[float]:
    """The mean brightness of the pictures that stand for `count` moments."""
    means, positions = reader.sample(count, lambda frames: np.array([frame.mean() for frame in frames]))
    return [float(value) for value in means[positions]]


@pytest.mark.parametrize(
    ("codec", "sample_format", "suffix", "error"),
    [
        ("pcm_u8", "u8", "wav", 2**-7),
        ("pcm_s16le", "s16", "wav", 2**-15),
        ("pcm_s24le", "s32", "wav", 2**-23),
        ("pcm_s32le", "s32", "wav", 2**-24),
        ("pcm_f32le", "flt", "wav", 2**-24),
        ("pcm_f64le", "dbl", "wav", 2**-24),
        ("flac", "s16", "flac", 2**-15),
        ("alac", "s16p", "m4a", 2**-15),
    ],
)
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_lossless_sound(tmp_path: Path, codec: str, sample_format: str, suffix: str, error: float, layout: str) -> None:
    samples = tone(av.AudioLayout(layout).nb_channels, 5_000)
    write_sound(tmp_path / f"x.{suffix}", samples, codec, sample_format, layout)
    decoded, rate = read_sound(tmp_path / f"x.{suffix}")
    assert (rate, decoded.dtype.name, decoded.shape) == (48_000, "float32", (5_000, 1))
    np.testing.assert_allclose(decoded[:, 0], samples.mean(axis=0), atol=2 * error)


@pytest.mark.parametrize(
    ("layout", "codec"), [("7.1", "libopus"), ("7.1", "pcm_s16le"), ("hexadecagonal", "pcm_s16le")]
)
def test_many_channels(tmp_path: Path, layout: str, codec: str) -> None:
    """Eight planes of samples end the process in PyAV 18.1 when they are turned into an array."""
    samples = np.tile(tone(1, 48_000), (av.AudioLayout(layout).nb_channels, 1))
    write_sound(tmp_path / "x.mka", samples, codec, "s16", layout)
    decoded, _ = read_sound(tmp_path / "x.mka")
    n_samples = min(len(decoded), 48_000)
    assert np.corrcoef(decoded[2_000:n_samples, 0], samples[0, 2_000:n_samples])[0, 1] > 0.99


def test_sound_is_read_from_muxed_files_and_odd_names(tmp_path: Path) -> None:
    path = tmp_path / "%03d:été [x].wav"
    write_sound(tmp_path / "x.wav", tone(1, 3_000), "pcm_s16le", "s16", "mono", rate=8_000)
    (tmp_path / "x.wav").rename(path)
    assert read_sound(path)[1] == 8_000


def test_not_finite_sound(tmp_path: Path) -> None:
    samples = tone(1, 3_000)
    samples[0, 100] = np.nan
    write_sound(tmp_path / "x.wav", samples, "pcm_f32le", "flt", "mono")
    with pytest.raises(MediaError, match="not finite"):
        read_sound(tmp_path / "x.wav")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(seconds=0.5), r"more than 0\.5 s of sound"),
        (Limits(sample_rates=(50_000, 60_000)), "a sample rate of 48000 Hz; 50000 to 60000 are accepted"),
        (Limits(channels=1), "2 channels of sound; 1 to 1 are accepted"),
    ],
)
def test_sound_limits(tmp_path: Path, limits: Limits, message: str) -> None:
    write_sound(tmp_path / "x.wav", tone(2, 48_000), "pcm_s16le", "s16", "stereo")
    with pytest.raises(MediaError, match=message):
        read_sound(tmp_path / "x.wav", limits)


def test_header_that_claims_four_gigabytes(tmp_path: Path) -> None:
    write_sound(tmp_path / "x.wav", tone(1, 1_000), "pcm_s16le", "s16", "mono")
    content = bytearray((tmp_path / "x.wav").read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xf0\xff\xff\xff"
    (tmp_path / "x.wav").write_bytes(content)
    tracemalloc.start()
    decoded, _ = read_sound(tmp_path / "x.wav")
    assert (len(decoded), tracemalloc.get_traced_memory()[1] < 2**20) == (1_000, True)
    tracemalloc.stop()


@pytest.mark.parametrize("count", [1, 2, 5, 12, 30])
def test_sampled_frames_are_the_right_ones(tmp_path: Path, count: int) -> None:
    write_video(tmp_path / "x.mp4", greys(12))
    reader = VideoReader(tmp_path / "x.mp4")
    assert reader.n_frames == 12
    assert reader.seconds == pytest.approx(1.2)
    expected = [8 + 240 * int(i * 11 / max(1, count - 1)) // 12 for i in range(count)]
    np.testing.assert_allclose(levels(reader, count), expected, atol=3)


def test_frame_indices() -> None:
    assert frame_indices(250, 96).tolist() == [int(position) for position in np.linspace(0, 249, 96)]
    assert frame_indices(1, 4).tolist() == [0, 0, 0, 0]
    assert frame_indices(7, 1).tolist() == [0]


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix", "shape"),
    [
        ("libx264", "yuv444p", "mp4", (65, 81)),
        ("libx264", "yuv420p10le", "mkv", (64, 80)),
        ("libx264", "gray", "mp4", (64, 80)),
        ("ffv1", "bgr0", "avi", (33, 17)),
        ("mjpeg", "yuvj422p", "avi", (48, 50)),
        ("libvpx-vp9", "yuv420p", "webm", (66, 66)),
        ("png", "rgb24", "mov", (31, 29)),
        ("gif", "rgb8", "gif", (32, 32)),
    ],
)
def test_picture_formats(tmp_path: Path, codec: str, pixels: str, suffix: str, shape: tuple[int, int]) -> None:
    pictures = greys(6, *shape)
    write_video(tmp_path / f"x.{suffix}", pictures, codec=codec, pixels=pixels)
    frames, positions = VideoReader(tmp_path / f"x.{suffix}").sample(6, list)
    assert [(frame.shape, frame.dtype.name) for frame in frames] == [((*shape, 3), "uint8")] * 6
    assert positions.tolist() == list(range(6))
    for frame, picture in zip(frames, pictures, strict=True):
        assert abs(float(frame.mean()) - float(picture.mean())) < 20  # rgb8 has 8 levels


def test_the_size_may_change_midway(tmp_path: Path) -> None:
    for name, size in (("a", 48), ("b", 96)):
        write_video(tmp_path / f"{name}.ts", greys(4, size, size), codec="mpeg2video", pixels="yuv420p")
    joined = b"".join((tmp_path / f"{name}.ts").read_bytes() for name in "ab")
    (tmp_path / "x.ts").write_bytes(joined)
    frames, _ = VideoReader(tmp_path / "x.ts").sample(8, list)
    assert {frame.shape for frame in frames} == {(48, 48, 3), (96, 96, 3)}


def test_start_after_zero(tmp_path: Path) -> None:
    write_video(tmp_path / "x.mp4", greys(10), first_pts=700)
    reader = VideoReader(tmp_path / "x.mp4")
    assert reader.n_frames == 10
    assert reader.seconds == pytest.approx(1.0)
    assert len(levels(reader, 10)) == 10


def test_wrong_number_of_frames_is_found_and_mended(tmp_path: Path) -> None:
    write_video(tmp_path / "x.mp4", greys(12))
    reader = VideoReader(tmp_path / "x.mp4")
    reader.n_frames = 40  # as if the file had announced 40
    passes = []

    def consume(frames: Iterator[Frame]) -> list[float]:
        passes.append(1)
        return [float(frame.mean()) for frame in frames]

    means, positions = reader.sample(12, consume)
    assert (reader.n_frames, len(passes), len(means)) == (12, 2, 12)
    assert positions.tolist() == list(range(12))


def test_damaged_packets_are_left_out_and_told(tmp_path: Path) -> None:
    write_video(tmp_path / "x.avi", greys(12), codec="png", pixels="rgb24")
    content = bytearray((tmp_path / "x.avi").read_bytes())
    second = content.index(b"IHDR", content.index(b"IHDR") + 4)
    content[second : second + 4] = b"XXXX"
    (tmp_path / "x.avi").write_bytes(content)
    told: list[str] = []
    reader = VideoReader(tmp_path / "x.avi", on_damage=told.append)
    assert len(levels(reader, 5)) == 5
    assert reader.n_frames == 11
    assert len(told) == 1
    assert told[0].startswith("1 packets could not be decoded (")


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    peaks = []
    for count in (10, 200):
        write_video(tmp_path / "x.mp4", greys(count, 240, 320))
        tracemalloc.start()
        VideoReader(tmp_path / "x.mp4").sample(count, lambda frames: sum(int(frame[0, 0, 0]) for frame in frames))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2**18


def test_sound_in_blocks(tmp_path: Path) -> None:
    """The same samples as in one piece, and no more memory for a longer sound."""
    peaks = []
    for seconds in (4, 40):
        write_sound(tmp_path / "x.wav", 0.5 * tone(1, 48_000 * seconds), "pcm_s16le", "s16", "mono")
        whole, rate = read_sound(tmp_path / "x.wav")
        tracemalloc.start()
        blocks, rate_of_blocks = stream_sound(tmp_path / "x.wav")
        at, sizes = 0, []
        for block in blocks:
            assert np.array_equal(block, whole[at : at + len(block)])
            at += len(block)
            sizes.append(block.nbytes)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (at, rate_of_blocks, max(sizes) < 2**19) == (len(whole), rate, True)
    assert peaks[1] < peaks[0] + 2**18


@pytest.mark.parametrize("limits", [Limits(pixels=1_000), Limits(frames=5)])
def test_picture_limits(tmp_path: Path, limits: Limits) -> None:
    write_video(tmp_path / "x.mp4", greys(12))
    with pytest.raises(MediaError, match=r"1000 pixels|more than 5 frames|nothing could be decoded"):
        levels(VideoReader(tmp_path / "x.mp4", limits), 3)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "fifo.mp4")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{tmp_path}/real.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "playlist.mp4").write_text(playlist)
    write_video(tmp_path / "real.ts", greys(3), pixels="yuv420p")
    for name, message in (
        ("missing.mp4", "no such file"),
        ("empty.mp4", "Invalid data found"),
        ("text.mp4", "Invalid data found"),
        ("folder.mp4", "not a regular file"),
        ("fifo.mp4", "not a regular file"),
        ("playlist.mp4", "Invalid data found|no sound|no pictures"),
    ):
        for read in (read_sound, VideoReader):
            with pytest.raises(MediaError, match=message) as caught:
                read(tmp_path / name)
            assert "\n" not in str(caught.value)
            assert str(tmp_path) not in str(caught.value)
            assert len(str(caught.value)) <= 200


def test_missing_streams(tmp_path: Path) -> None:
    write_video(tmp_path / "x.mp4", greys(3))
    write_sound(tmp_path / "x.wav", tone(1, 3_000), "pcm_s16le", "s16", "mono")
    with pytest.raises(MediaError, match="no sound: the file has no such stream"):
        read_sound(tmp_path / "x.mp4")
    with pytest.raises(MediaError, match="no pictures: the file has no such stream"):
        VideoReader(tmp_path / "x.wav")


@pytest.mark.parametrize("cover", ["png", "mjpeg"])
@pytest.mark.parametrize(
    ("suffix", "codec", "sample_format"),
    [("mp3", "libmp3lame", "fltp"), ("flac", "flac", "s16"), ("m4a", "aac", "fltp")],
)
def test_cover_art_is_no_video(tmp_path: Path, suffix: str, codec: str, sample_format: str, cover: str) -> None:
    path = tmp_path / f"x.{suffix}"
    write_covered(path, codec, sample_format, cover)
    assert len(read_sound(path)[0]) >= 20 * 1024
    with pytest.raises(MediaError, match="no pictures: the file has no more than cover art"):
        VideoReader(path)


def test_attachments_of_matroska_and_ogg_are_no_video(tmp_path: Path) -> None:
    write_video(tmp_path / "still.png", greys(1), codec="png", pixels="rgb24")
    still = (tmp_path / "still.png").read_bytes()
    header = struct.pack(">II9sIIIIII", 3, 9, b"image/png", 0, 80, 64, 24, 0, len(still))
    for name in ("x.mka", "x.ogg"):
        with av.open(str(tmp_path / name), "w") as container:
            if name.endswith("mka"):
                container.add_attachment("cover.png", "image/png", still)
            sound = container.add_stream("libopus", rate=48_000, layout="mono")
            sound.metadata["METADATA_BLOCK_PICTURE"] = base64.b64encode(header + still).decode()
            assert isinstance(sound, av.AudioStream)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), "s16", "mono")
            frame.sample_rate = 48_000
            container.mux([*sound.encode(frame), *sound.encode(None)])
        with av.open(str(tmp_path / name)) as container:
            assert len(container.streams.video) == 1
        with pytest.raises(MediaError, match="no more than cover art"):
            VideoReader(tmp_path / name)


def test_a_video_beside_its_cover_art_is_read(tmp_path: Path) -> None:
    write_covered(tmp_path / "x.mp4", "aac", "fltp", "png", frames=5)
    assert VideoReader(tmp_path / "x.mp4").n_frames == 5


def test_a_still_picture_is_a_video_of_one_frame(tmp_path: Path) -> None:
    write_video(tmp_path / "x.png", greys(1), codec="png", pixels="rgb24")
    path = (tmp_path / "x.png").rename(tmp_path / "x.mp4")
    assert levels(VideoReader(path), 3) == [8.0] * 3


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.mp4").write_bytes(b"")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root
    with pytest.raises(MediaError, match="PermissionError: Permission denied"):
        read_sound(tmp_path / "x.mp4")
