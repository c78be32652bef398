"""Temporary folders end with their process."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from avfusion.system.work_folder import PREFIX, WorkFolder, remove_left_overs

HOLD = """
import sys
from avfusion.system.work_folder import WorkFolder
folder = WorkFolder()
(folder.path / "upload").write_text("content")
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this process and of its children."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_closed_folder_is_gone() -> None:
    with WorkFolder() as folder:
        (folder / "inside").mkdir()
        remove_left_overs()
        assert (folder / "inside").is_dir()
    assert not folder.exists()


def test_left_overs_of_a_killed_process_are_removed_and_those_of_a_living_one_kept(temporary: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        with WorkFolder():
            assert (left / "upload").is_file()
        other.kill()
    assert (left / "upload").is_file()
    with WorkFolder() as mine:
        assert list(temporary.glob(f"{PREFIX}*")) == [mine]


def test_what_others_have_is_left_alone(temporary: Path) -> None:
    (temporary / "precious").mkdir()
    (temporary / f"{PREFIX}link").symlink_to(temporary / "precious")
    (temporary / f"{PREFIX}file").write_text("content")
    remove_left_overs()
    assert len(list(temporary.iterdir())) == 3
