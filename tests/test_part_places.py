"""Parts in folders and at addresses: whole, listed, read back, removed."""

from pathlib import Path

import numpy as np
import pytest

from avfusion.errors import UserError
from avfusion.extraction.part_places import AddressPlace, FolderPlace, Place
from avfusion.features.parts import Part, part_name
from avfusion.features.sources import UNKNOWN, Sources
from tests.ftp import serving


def check(place: Place, folder: Path) -> None:
    """`folder` is where the parts of `place` lie."""
    assert place.done(9) == set()
    part = Part(
        "x",
        note="n",
        audio=np.ones((3, 2), np.float32),
        video=np.zeros((3, 4), np.float32),
        step=0.1,
        sources=Sources("1 2 ab"),
    )
    place.write(7, Part("x", reason="an earlier attempt"))
    place.write(7, part)
    assert place.done(9) == {7} and place.done(7) == set()
    assert place.has(7) and not place.has(8)
    assert [path.name for path in folder.iterdir()] == [part_name(7)]
    found = place.read(7, "x")
    np.testing.assert_array_equal(found.audio, part.audio)
    assert (found.note, found.step, found.video.shape) == ("n", 0.1, (3, 4))
    assert place.sources(7) == found.sources == part.sources
    (folder / part_name(7)).write_bytes(b"damaged")
    assert place.sources(7) == UNKNOWN
    with pytest.raises(UserError, match="was damaged and is removed"):
        place.read(7, "x")
    assert not (folder / part_name(7)).exists()
    place.write(7, part)
    place.remove(7)
    assert place.done(9) == set()


def test_folder(tmp_path: Path) -> None:
    check(FolderPlace(tmp_path), tmp_path)


def test_file_address(tmp_path: Path) -> None:
    place = AddressPlace(f"file://{tmp_path}/a/b")
    check(place, tmp_path / "a" / "b")
    place.clear()
    assert not (tmp_path / "a" / "b").exists()


def test_server(tmp_path: Path) -> None:
    with serving(tmp_path) as address:
        place = AddressPlace(f"{address}/a")
        place.check()
        check(place, tmp_path / "a")
        place.clear()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="refused"):
        AddressPlace(f"{address}/a").write(0, Part("x"))


@pytest.mark.parametrize("address", ["nonsense://x", "file:///proc/nowhere"])
def test_addresses_that_cannot_be_used(address: str) -> None:
    with pytest.raises(UserError, match=rf"parts={address} cannot be used \(.*\); for instance s3://bucket/folder"):
        AddressPlace(address).check()
