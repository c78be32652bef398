from pathlib import Path

import numpy as np
import pytest

from avfusion.errors import UserError
from avfusion.scoring.folders import read_folder
from avfusion.scoring.tsv import write_course_tsv
from tests.test_predictions import some


def as_commas(path: Path) -> None:
    path.write_text(path.read_text().replace("\t", ","))


def test_models_are_files_by_name(tmp_path: Path) -> None:
    for seed, name in enumerate(("late.tsv", "early.csv", "lstm.CSV")):
        write_course_tsv(tmp_path / name, some(seed=seed))
    as_commas(tmp_path / "lstm.CSV")
    (tmp_path / "readme.txt").write_text("not read")
    (tmp_path / "locations.csv").write_text("id,location\na,b\n")
    folder = read_folder(tmp_path)
    assert {name: found.origin for name, found in folder.items()} == {
        "early": "early.csv", "late": "late.tsv", "lstm": "lstm.CSV",
    }  # fmt: skip
    for seed, name in enumerate(("late", "early", "lstm")):
        np.testing.assert_array_equal(folder[name].predictions.probabilities, some(seed=seed).probabilities)


def test_models_are_folders_with_one_file(tmp_path: Path) -> None:
    for seed, name in enumerate(("late", "early.v2", "val", ".ipynb_checkpoints")):
        write_course_tsv(tmp_path / name / "prediction.csv", some(seed=seed))
    (tmp_path / "late" / "history.csv").write_text("epoch,loss\n1,0.5\n")
    (tmp_path / "figures").mkdir()
    write_course_tsv(tmp_path / "lstm.tsv", some(seed=4))
    folder = read_folder(tmp_path)
    assert list(folder) == ["early.v2", "late", "lstm"]
    assert folder["late"].origin == "late/prediction.csv"
    assert folder["late"].predictions.notes[0].startswith("late/prediction.csv: full precision")


def test_folders_that_leave_something_open(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no predictions here; looked for \*\.tsv, and \*\.csv with the columns aid"):
        read_folder(tmp_path)
    with pytest.raises(UserError, match="gone: no such folder"):
        read_folder(tmp_path / "gone")
    write_course_tsv(tmp_path / "late" / "prediction.csv", some())
    write_course_tsv(tmp_path / "late.tsv", some())
    with pytest.raises(UserError, match=r"late.tsv and late/prediction.csv are both of the model 'late'; rename"):
        read_folder(tmp_path)
    (tmp_path / "late.tsv").rename(tmp_path / "late" / "old.tsv")
    with pytest.raises(UserError, match=r"late: 2 prediction files of one model \(old.tsv, prediction.csv\); keep"):
        read_folder(tmp_path)
    (tmp_path / "late" / "old.tsv").write_text("aid\tscene\na\tb\n")
    (tmp_path / "late" / "prediction.csv").unlink()
    with pytest.raises(UserError, match=r"late/old.tsv: .*column"):
        read_folder(tmp_path)
