"""Parts in folders and at addresses: whole, listed, read back, removed."""

from pathlib import Path

import numpy as np
import pytest

from avfusion.errors import UserError
from avfusion.extraction.parts_storage import PartsAddress, PartsFolder, PartsStorage
from avfusion.features.parts import Part, part_name
from avfusion.features.sources import UNKNOWN, Sources
from tests.ftp import serving


def check(storage: PartsStorage, folder: Path) -> None:
    """`folder` is where the parts of `storage` lie."""
    assert storage.done(9) == set()
    part = Part(
        "x",
        note="n",
        audio=np.ones((3, 2), np.float32),
        video=np.zeros((3, 4), np.float32),
        audio_step=0.1,
        video_step=0.3,
        sources=Sources("1 2 ab"),
    )
    storage.write(7, Part("x", reason="an earlier attempt"))
    storage.write(7, part)
    assert storage.done(9) == {7} and storage.done(7) == set()
    assert storage.has(7) and not storage.has(8)
    assert [path.name for path in folder.iterdir()] == [part_name(7)]
    found = storage.read(7, "x")
    np.testing.assert_array_equal(found.audio, part.audio)
    assert (found.note, found.audio_step, found.video_step, found.video.shape) == ("n", 0.1, 0.3, (3, 4))
    assert found.seconds == 0.9
    assert storage.sources(7) == found.sources == part.sources
    (folder / part_name(7)).write_bytes(b"damaged")
    assert storage.sources(7) == UNKNOWN
    with pytest.raises(UserError, match="was damaged and is removed"):
        storage.read(7, "x")
    assert not (folder / part_name(7)).exists()
    storage.write(7, part)
    storage.remove(7)
    assert storage.done(9) == set()


def test_folder(tmp_path: Path) -> None:
    check(PartsFolder(tmp_path), tmp_path)


def test_file_address(tmp_path: Path) -> None:
    storage = PartsAddress(f"file://{tmp_path}/a/b")
    check(storage, tmp_path / "a" / "b")
    storage.clear()
    assert not (tmp_path / "a" / "b").exists()


def test_server(tmp_path: Path) -> None:
    with serving(tmp_path) as address:
        storage = PartsAddress(f"{address}/a")
        storage.check()
        check(storage, tmp_path / "a")
        storage.clear()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="refused"):
        PartsAddress(f"{address}/a").write(0, Part("x"))


@pytest.mark.parametrize("address", ["nonsense://x", "file:///proc/nowhere"])
def test_addresses_that_cannot_be_used(address: str) -> None:
    with pytest.raises(UserError, match=rf"parts={address} cannot be used \(.*\); for instance s3://bucket/folder"):
        PartsAddress(address).check()
