"""Opening a media file and walking through the frames of one stream, whatever is wrong with it.

Damage: a packet that the decoder refuses is left out and decoding goes on, as players do; if the
container itself breaks off, what came before counts. The reader says so through `on_damage`, once
per file and stream, and only a stream that gives nothing at all is an error.

Order: frames count in the order they come; gaps, edit lists and a start after zero are not filled.
One decoding thread: with a process per core it is a tenth faster than FFmpeg's threads (720p H.264 on
two cores: 0.45 against 0.50 s a clip), and threads may treat damage differently from run to run.
"""

import io
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import av
import av.container
import av.error
import av.packet
import av.stream
from av.audio.frame import AudioFrame
from av.stream import Disposition
from av.video.frame import VideoFrame

from avfusion.system.memory import too_large

Kind = Literal["audio", "video"]
NOUNS: dict[Kind, str] = {"audio": "sound", "video": "pictures"}
_PLAIN = {"InvalidDataError": "no media file, or damaged"}  # FFmpeg's names of errors that people meet
_LONGEST_REASON = 160

_log = logging.getLogger(__name__)


class MediaError(Exception):
    """A media file that cannot be used; the message is one short line without the file's name."""


@dataclass(frozen=True)
class Limits:
    """What a file may claim before it is refused.

    Attributes:
        seconds: of sound or pictures.
        pixels: of one picture (the default is just above 8K, 7680 x 4320).
        frames: pictures in a clip.
        sample_rates: lowest and highest, in Hz.
        channels: of sound.
    """

    seconds: float = 7200.0
    pixels: int = 2**25
    frames: int = 1_000_000
    sample_rates: tuple[int, int] = (1_000, 768_000)
    channels: int = 1024


DEFAULT_LIMITS = Limits()


def log_damage(message: str) -> None:
    """What readers do with a damage message unless told otherwise."""
    _log.warning("%s", message)


class _MediaFile(io.BufferedReader):
    """A file whose refused seeks are answers, not exceptions.

    FFmpeg looks for marks at the end of every file, in a short file before its start; PyAV would
    report the exception in place of what FFmpeg made of the file.
    """

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """The new position, or a negative number."""
        try:
            return super().seek(offset, whence)
        except OSError as error:
            return -(error.errno or 1)


class Opened(NamedTuple):
    """An open file with the stream to read; `container` must not be closed by the holder."""

    container: av.container.InputContainer
    stream: av.stream.Stream


@contextmanager
def media_errors() -> Iterator[None]:
    """Turns whatever the libraries raise into MediaError.

    PyAV lets through, besides its own errors: UnicodeDecodeError (names in headers),
    AttributeError (streams without a decoder), ValueError (formats it cannot convert), and more.
    """
    try:
        yield
    except MediaError:
        raise
    except MemoryError as error:
        raise MediaError(too_large()) from error
    except Exception as error:
        raise MediaError(one_line(error)) from error


def one_line(error: BaseException) -> str:
    """The error in one short line, without file names (they vary with the place of the data)."""
    text = getattr(error, "strerror", None) or str(error)
    words = " ".join(text.split())
    name = "" if isinstance(error, MediaError) else type(error).__name__
    return ": ".join(filter(None, (_PLAIN.get(name, name), words)))[:_LONGEST_REASON]


@contextmanager
def open_stream(path: Path, kind: Kind, limits: Limits) -> Iterator[Opened]:
    """Opens `path` and its best stream of `kind`; cover art, which FFmpeg gives as a stream of one picture, is none.

    FFmpeg gets the open file, not its name: names may hold patterns and protocols that it would
    follow, and with an empty protocol list a playlist cannot make it open anything else.
    """
    with media_errors():
        if not path.exists():
            raise MediaError("no such file")
        if not path.is_file():
            raise MediaError("not a regular file")
        with (
            _MediaFile(path.open("rb", buffering=0)) as file,
            av.open(file, "r", metadata_errors="replace", options={"protocol_whitelist": "none"}) as container,
        ):
            stream = _best(container, kind)
            codec = stream.codec_context
            if codec is None:
                raise MediaError(f"no {NOUNS[kind]}: no decoder for the stream")
            codec.thread_count = 1
            codec.options = {"max_pixels": str(limits.pixels), "max_samples": str(2**24)}
            yield Opened(container, stream)


def _best(container: av.container.InputContainer, kind: Kind) -> av.stream.Stream:
    best = container.streams.best(kind)
    if best is None:
        raise MediaError(f"no {NOUNS[kind]}: the file has no such stream")
    streams: list[av.stream.Stream] = [best, *(stream for stream in container.streams if stream.type == kind)]
    for stream in streams:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise MediaError(f"no {NOUNS[kind]}: the file has no more than cover art")


def decode(opened: Opened, on_damage: Callable[[str], None]) -> Iterator[AudioFrame | VideoFrame]:
    """The frames of the stream, past packets that cannot be decoded."""
    refused, first = 0, ""
    for packet in packets(opened, on_damage):
        try:
            frames = packet.decode()
        except MemoryError:  # is no damage, after which the next packet might be better
            raise
        except Exception as error:  # decoders raise all sorts, see media_errors
            refused, first = refused + 1, first or one_line(error)
        else:
            yield from (frame for frame in frames if isinstance(frame, AudioFrame | VideoFrame))
    if refused:
        on_damage(f"{refused} packets could not be decoded ({first})")


def packets(opened: Opened, on_damage: Callable[[str], None]) -> Iterator["av.packet.Packet[av.stream.Stream]"]:
    """The packets of the stream, closed by the empty one that makes a decoder give its last frames."""
    demuxed = opened.container.demux(opened.stream)
    while True:
        try:
            packet = next(demuxed)
        except StopIteration:
            return
        except MemoryError:
            raise
        except Exception as error:  # the container breaks off: decode what was read
            on_damage(f"the file breaks off ({one_line(error)})")
            last = av.packet.Packet()
            last.stream = opened.stream
            yield last
            return
        yield packet
