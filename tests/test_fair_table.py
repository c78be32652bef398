"""The table of all variants, tuned alike: nothing answers clips by which it was chosen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avfusion.analysis.pairs import pair_table, score_table
from avfusion.analysis.variant_answers import locations_of
from avfusion.datasets.folds import Fold
from avfusion.fusion import variants
from avfusion.scoring.tsv import read_course_tsv
from avfusion.system.markdown import markdown
from avfusion.training.experiment import resolve_params
from avfusion.training.many import Trainer
from avfusion.training.split_features import TEST, VALIDATION, SplitFeatures
from avfusion.training.stored_results import StoredResults
from benchmarks.fair.answers import TUNED, Answers, Row
from benchmarks.fair.table import pairs_of, tables, train_all
from tests.stores import make_store

FAST = {"epochs": "2", "hidden": "8", "batch_size": "16"}
FOLDS = 2


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    data = SplitFeatures(make_store(tmp_path / "store", separation=1.0))
    (tmp_path / "trained").mkdir()
    trainer = Trainer(data, torch.device("cpu"), StoredResults(tmp_path / "trained"), folds=FOLDS)
    return Answers(trainer, (0, 1), tmp_path)


def test_the_validation_clips_of_a_fold_choose_who_answers_its_test_clips(answers: Answers) -> None:
    variant, row = variants()["late"], Row(TUNED, "late")
    shares = ("0.0", "0.1", "0.2", "0.3")
    configurations = [resolve_params([variant], {**FAST, "dropout": share})[0] for share in shares]
    answers.answer(row, variant, configurations)
    trials, numbers = answers.trials(row), set()
    for seed in answers.seeds:
        for fold in Fold.each(FOLDS):
            found = [answers.trainer.kept.find(variant, one, seed, fold) for one in configurations]
            known = [one for one in found if one is not None]
            best = int(np.argmin([one.trained.validation.losses.mean() for one in known]))
            folder = answers.folder / TUNED / f"seed{seed}" / f"fold{fold.number}"
            np.testing.assert_array_equal(
                read_course_tsv(folder / "late.tsv").probabilities, known[best].test.probabilities
            )
            data = answers.trainer.data.in_fold(fold, seed)
            assert read_course_tsv(folder / "late.tsv").ids == data.ids(TEST)
            assert read_course_tsv(folder / "val" / "late.tsv").ids == data.ids(VALIDATION)
            of_fold = trials[(trials["seed"] == seed) & (trials["fold"] == fold.number)]
            assert of_fold.set_index("trial")["chosen"].to_dict() == {n: n == best for n in range(len(shares))}
            numbers.add(best)
    assert len(numbers) > 1  # one for all would not show that each fold has its own
    assert answers.read(row).answers.ids == tuple(answers.trainer.data.store.clips["id"])


def test_the_whole_table(answers: Answers) -> None:
    answers = replace(answers, seeds=(0,))
    chosen = [variants()[name] for name in ("audio_only", "baseline")]
    rows = train_all(answers, chosen, 2, FAST)
    assert answers.trainer.kept.count() == 0
    written = {path: path.stat().st_mtime_ns for path in answers.folder.rglob("*.tsv")}
    assert train_all(answers, chosen, 2, FAST) == rows  # the same command goes on: nothing is left to do
    assert {path: path.stat().st_mtime_ns for path in answers.folder.rglob("*.tsv")} == written
    pairs = pairs_of(rows)
    assert ("tuned audio_only", "tuned baseline") in pairs and ("tuned ensemble", "ensemble") in pairs
    assert ("baseline mixup=0.2", "baseline") in pairs and len(pairs) == len(set(pairs)) == 12
    found = [answers.read(row) for row in rows]
    locations = locations_of(found[0].answers, None)
    scores, told = score_table(found, locations, 20), pair_table(found, locations, 20, pairs)
    assert len(told) == 4 * len(pairs)
    parts = list(tables(answers, rows, scores, told))
    of_group = {part.split(" ")[1]: part.splitlines()[2:] for part in parts}
    assert {name: len(lines) for name, lines in of_group.items()} == {"defaults": 3, "tuned": 3, "options": 5}
    for row, answered in zip(rows, found, strict=True):
        (line,) = (line for line in of_group[row.group] if line.startswith(f"| {markdown(row.name)} | "))
        assert line.split("|")[2].split()[0] == f"{answered.metrics['accuracy']:.3f}"
    assert all(len({line.count("|") for line in part.splitlines()}) == 1 for part in parts)
