"""Small files that make their readers ask for gigabytes, or lead them elsewhere: media and HDF5, written by hand."""

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

MANY = 80_000_000
"""Samples, frames or entries that a table claims."""

_WIDE, _HIGH = 30_000, 17_000  # a picture of 2 GB in RGBA, which FFmpeg's own check of sizes lets through


def box(name: bytes, *content: bytes) -> bytes:
    """One box of an MP4 or MOV file."""
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name) + body


def _table(name: bytes, *numbers: int) -> bytes:
    return box(name, struct.pack(f">I{len(numbers)}I", 0, *numbers))


_MATRIX = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def movie(*tables: bytes, brand: bytes = b"qt  ", kind: bytes = b"vide", beside: bytes = b"") -> bytes:
    """A MOV or MP4 file of one track with these sample tables."""
    head = struct.pack(">IIIIIIH10x", 0, 0, 0, 48_000, MANY, 1 << 16, 256) + _MATRIX + bytes(24)
    moov = box(b"moov", box(b"mvhd", head, struct.pack(">I", 2)), _track(kind, tables), beside)
    return box(b"ftyp", brand, bytes(4), brand) + moov + box(b"mdat", bytes(2000))


def _track(kind: bytes, tables: tuple[bytes, ...]) -> bytes:
    if kind == b"vide":
        entry = bytes(6) + struct.pack(">H16xHHIIIH32xHh", 1, 64, 64, 72 << 16, 72 << 16, 0, 1, 24, -1)
        description, header = box(b"jpeg", entry), box(b"vmhd", bytes(12))
    else:
        entry = bytes(6) + struct.pack(">H8xHHIHH", 1, 1, 16, 0, 48_000, 0)
        description, header = box(b"sowt", entry), box(b"smhd", bytes(8))
    stsd = box(b"stsd", struct.pack(">II", 0, 1), description)
    size = struct.pack(">II", 64 << 16, 64 << 16)
    return box(
        b"trak",
        box(b"tkhd", struct.pack(">IIIIII8xIHH", 7, 0, 0, 1, 0, MANY, 0, 0, 0), _MATRIX, size),
        box(
            b"mdia",
            box(b"mdhd", struct.pack(">IIIIII", 0, 0, 0, 48_000, MANY, 0)),
            box(b"hdlr", struct.pack(">I4s4s12xB", 0, b"mhlr", kind, 0)),
            box(b"minf", header, box(b"stbl", stsd, *tables)),
        ),
    )


def _tables(**changed: tuple[int, ...]) -> list[bytes]:
    """Tables that claim `MANY` samples of one byte in one chunk, but for those that are given."""
    tables = {"stts": (1, MANY, 1), "stsc": (1, 1, MANY, 1), "stsz": (1, MANY), "stco": (1, 64)} | changed
    return [_table(name.encode(), *numbers) for name, numbers in tables.items()]


def _fragments() -> bytes:
    """A fragmented MP4 file whose runs claim many samples each."""
    extends = box(b"mvex", _table(b"trex", 1, 1, 1, 1, 0))
    run = box(
        b"moof",
        _table(b"mfhd", 1),
        box(b"traf", box(b"tfhd", struct.pack(">II", 0x020000, 1)), *[_table(b"trun", 2**24) for _ in range(8)]),
    )
    return movie(*_tables(stts=(0,), stsc=(0,), stsz=(0, 0), stco=(0,)), beside=extends, brand=b"isom") + run * 8


def _ebml(identity: str, content: bytes, claimed: int | None = None) -> bytes:
    """One element of a Matroska file; `claimed` is its size if that is to be a lie."""
    size = len(content) if claimed is None else claimed
    return bytes.fromhex(identity) + (size | 1 << 56).to_bytes(8, "big") + content


def matroska(kind: bytes, *, private: int | None = None, block: int | None = None, codec: bytes = b"V_VP8") -> bytes:
    """A Matroska or WebM file whose codec data or first block claims another size than it has."""
    video = _ebml("E0", _ebml("B0", b"\x40") + _ebml("BA", b"\x40"))
    track = _ebml("D7", b"\1") + _ebml("73C5", b"\1") + _ebml("83", b"\1") + _ebml("86", codec) + video
    track += _ebml("63A2", b"x" * 64, private)
    cluster = _ebml("1F43B675", _ebml("E7", b"\0") + _ebml("A3", b"\x81\0\0\x80" + bytes(64), block))
    return _ebml("1A45DFA3", _ebml("4282", kind)) + _ebml("18538067", _ebml("1654AE6B", _ebml("AE", track)) + cluster)


def zeros_deflated(megabytes: int) -> bytes:
    """A zlib stream of so many megabytes of zeros: a thousandth of that."""
    packer = zlib.compressobj(9)
    first = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    more = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">HH", megabytes * 2**20 % 65_521, 1)  # Adler's
    return first + more * (megabytes - 1) + b"\x03\0" + checksum


def png(width: int = _WIDE, height: int = _HIGH) -> bytes:
    """A PNG picture that claims this size."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zeros_deflated(300)) + chunk(b"IEND", b"")


def gif(width: int = _WIDE, height: int = _HIGH) -> bytes:
    """A GIF picture that claims this size."""
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frame * 3 + b"\x3b"


def jpeg(width: int = _WIDE, height: int = _HIGH) -> bytes:
    """A progressive JPEG picture that claims this size: its coefficients are kept beside its pixels."""
    quantization = b"\xff\xdb" + struct.pack(">HB", 67, 0) + bytes([1] * 64)
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3)
    frame += b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    codes = b"\xff\xc4" + struct.pack(">HB16B2B", 21, 0, 0, 2, *[0] * 14, 0, 1)
    scan = b"\xff\xda" + struct.pack(">HB6B3B", 12, 3, 1, 0, 2, 0, 3, 0, 0, 0, 0)
    return b"\xff\xd8" + quantization + frame + codes + scan + bytes(100) + b"\xff\xd9"


def flac(
    picture: bytes = b"", kind: bytes = b"image/png", *, samples: int = 2**36 - 1, claimed: int | None = None
) -> bytes:
    """A FLAC file that claims so many samples, with a cover; `claimed` is the cover's size if that is to be a lie."""
    packed = 655_350 << 44 | 7 << 41 | 31 << 36 | samples  # rate, 8 channels, 32 bits, samples
    blocks = [(0, struct.pack(">HH6x", 65_535, 65_535) + packed.to_bytes(8, "big") + bytes(16))]
    size = len(picture) if claimed is None else claimed
    cover = struct.pack(">II", 3, len(kind)) + kind + struct.pack(">IIIIII", 0, _WIDE, _HIGH, 32, 0, size) + picture
    blocks += [(6, cover)] * 3
    head = b"".join(bytes([number]) + len(content).to_bytes(3, "big") + content for number, content in blocks)
    return b"fLaC" + head + b"\x81\0\0\0" + b"\xff\xf8" + bytes(200)


def wave(*, channels: int = 2, align: int = 4, rate: int = 48_000, size: int = 2**32 - 1) -> bytes:
    """A WAV file of a hundred bytes of sound with these claims in its header."""
    form = struct.pack("<HHIIHH", 1, channels, rate, min(2**32 - 1, rate * align), align, 16)
    return b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + form + b"data" + struct.pack("<I", size) + bytes(100)


def mp3(picture: bytes, kind: bytes = b"image/png") -> bytes:
    """An MP3 file of silence with a cover."""

    def seven_bits(size: int) -> bytes:
        return bytes(size >> shift & 127 for shift in (21, 14, 7, 0))

    cover = b"\0" + kind + b"\0\3\0" + picture
    tag = b"APIC" + seven_bits(len(cover)) + b"\0\0" + cover
    frame = bytes.fromhex("fffb9064") + bytes(413)
    return b"ID3\4\0\0" + seven_bits(len(tag)) + tag + frame * 8


MEDIA: dict[str, Callable[[], bytes]] = {
    "samples.mov": lambda: movie(*_tables()),
    "samples.mp4": lambda: movie(*_tables(), brand=b"isom"),
    "sound.mov": lambda: movie(*_tables(), kind=b"soun"),
    "chunks.mov": lambda: movie(*_tables(stsc=(1, 1, MANY // 1000, 1), stco=(1000, *range(64, 1064)))),
    "stts.mov": lambda: movie(*_tables(stts=(2**28, 1, 1))),
    "stsz.mov": lambda: movie(*_tables(stsz=(0, 2**28, 1, 1))),
    "stco.mov": lambda: movie(*_tables(stco=(2**28, 64))),
    "ctts.mov": lambda: movie(*_tables(), _table(b"ctts", 1, MANY, 1)),
    "many_ctts.mov": lambda: movie(*_tables(), _table(b"ctts", 2**27, MANY, 1)),
    "fragments.mp4": _fragments,
    "private.mkv": lambda: matroska(b"matroska", private=2**28 - 1),
    "private.webm": lambda: matroska(b"webm", private=2**40),
    "block.mkv": lambda: matroska(b"matroska", block=2**31),
    "block.webm": lambda: matroska(b"webm", block=2**28 - 1),
    "samples.flac": flac,
    "claimed_cover.flac": lambda: flac(png(), claimed=2**32 - 1),
    "png.flac": lambda: flac(png()),
    "large_png.flac": lambda: flac(png(65_535, 65_535)),
    "gif.flac": lambda: flac(gif(), b"image/gif"),
    "jpeg.flac": lambda: flac(jpeg(), b"image/jpeg"),
    "size.wav": wave,
    "channels.wav": lambda: wave(channels=65_535, align=65_535),
    "align.wav": lambda: wave(align=65_535, rate=2**32 - 1),
    "png.mp3": lambda: mp3(png()),
    "gif.mp3": lambda: mp3(gif(), b"image/gif"),
    "jpeg.mp3": lambda: mp3(jpeg(), b"image/jpeg"),
    "picture.png": png,
    "picture.gif": gif,
    "picture.jpg": jpeg,
}
"""File name -> what makes its content."""


def write_media(folder: Path) -> Iterator[Path]:
    """Writes every bomb of `MEDIA`."""
    for name, make in MEDIA.items():
        path = folder / name
        path.write_bytes(make())
        yield path


def packed_lie(file: h5py.File, name: str, *, shuffle: bool = False) -> None:
    """A compressed block that claims a few numbers and unpacks to 3 GB."""
    dataset = file.create_dataset(name, (3, 4), "f4", chunks=(3, 4), compression="gzip", shuffle=shuffle)
    dataset.id.write_direct_chunk((0, 0), zeros_deflated(3000))


def shuffled_lie(file: h5py.File, name: str) -> None:
    """The same behind the shuffle filter."""
    packed_lie(file, name, shuffle=True)


def packed_claim(file: h5py.File, name: str) -> None:
    """A compressed block of 2 GB that is what it claims."""
    shape = (2**17, 2**12)
    dataset = file.create_dataset(name, shape, "f4", chunks=shape, compression="gzip")
    dataset.id.write_direct_chunk((0, 0), zeros_deflated(2**11))


def claimed_terabytes(file: h5py.File, name: str) -> None:
    """Blocks of which one is there and a million million are claimed."""
    file.create_dataset(name, shape=(2**40, 4), dtype="f4", chunks=(64, 4))[0] = 1


def hard_links(file: h5py.File, name: str) -> None:
    """A thousand names for one dataset of 64 MB, as the frames of a clip."""
    group = file.create_group(name)
    dataset = group.create_dataset("0", (2**24,), "f4", chunks=(2**24,), compression="gzip")
    dataset.id.write_direct_chunk((0,), zeros_deflated(64))
    for number in range(1, 1000):
        group[str(number)] = dataset


def never_written(file: h5py.File, name: str) -> None:
    """A dataset without data."""
    file.create_dataset(name, shape=(96, 4), dtype="f4")


def virtual(file: h5py.File, name: str) -> None:
    """A virtual dataset, of another file."""
    layout = h5py.VirtualLayout((2**30, 4), dtype="f4")
    layout[:3] = h5py.VirtualSource("other.hdf5", "secret", shape=(3, 4))
    file.create_virtual_dataset(name, layout)


def external(file: h5py.File, name: str) -> None:
    """A dataset whose numbers are another file's bytes."""
    secret = Path(file.filename).with_name("secret.raw")
    secret.write_bytes(bytes(48))
    file.create_dataset(name, shape=(3, 4), dtype="f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def external_link(file: h5py.File, name: str) -> None:
    """A name for an object of another file."""
    file[name] = h5py.ExternalLink("/etc/secret.hdf5", "/x")


def soft_link(file: h5py.File, name: str) -> None:
    """A name for another name."""
    file[name] = h5py.SoftLink("/x")


def named_type(file: h5py.File, name: str) -> None:
    """A data type with a name, in place of a dataset."""
    file[name] = np.dtype("f4")


def packed_by_another(file: h5py.File, name: str) -> None:
    """Numbers that only a filter could unpack which the library would have to load."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((3, 4))
    plan.set_filter(305, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((3, 4))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.IEEE_F32LE, space, plan)
    file[name].id.write_direct_chunk((0, 0), bytes(48))


_LINK = "is a link to another place, which is not followed"
_ELSEWHERE = "its data lies in another file, which is not followed"

DATASETS: dict[str, tuple[Callable[[h5py.File, str], None], str]] = {
    "packed lie": (packed_lie, "Can't synchronously read data"),
    "shuffled lie": (shuffled_lie, "Can't synchronously read data"),
    "packed claim": (packed_claim, r"claims a shape of \[131072, 4096\]"),
    "terabytes": (claimed_terabytes, r"claims a shape of \[1099511627776, 4\]"),
    "hard links": (hard_links, "is one more name of something that has a name|is no dataset"),
    "never written": (never_written, "it was never written"),
    "virtual": (virtual, _ELSEWHERE),
    "external": (external, _ELSEWHERE),
    "external link": (external_link, _LINK),
    "soft link": (soft_link, _LINK),
    "named type": (named_type, "neither a dataset nor a group of frames|is no dataset"),
    "another filter": (packed_by_another, "it is packed by the HDF5 filter 305"),
}
"""Name -> what puts a trap into an open HDF5 file under a name, and a pattern of what is said of it."""
