"""Which variant is best, if all are tuned alike? Every variant in the same folds, with the same seeds and trials.

    python -m benchmarks.fair.table --features runs/features/NAME --output /tmp/fair

Three groups: `defaults`; `tuned`, for which each variant has --trials trials, its defaults and then points drawn from
its search space, options of training included; and `options`, single changes of the defaults (see `SINGLE`). In each,
an ensemble of all variants stands beside them.

Nothing is scored on clips by which it was chosen (nested cross-validation): in each fold of each seed, the trial with
the lowest log loss on the fold's own validation clips answers the fold's test clips, and the ensemble's weights are
fitted to the same validation clips. So a tuned row is what such a search is worth, not what one configuration is.

Points are drawn at random (from the grid of `tune`), for so few trials leave nothing to learn from: Optuna's own search
begins with ten such trials. The same command goes on where it was stopped. --output gets, beside the answers of each
fold as prediction files, table.md, scores.csv, pairs.csv, and all trials in FOLDER/GROUP/NAME.csv.
"""

import argparse
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from avfusion.analysis.locations import find_locations
from avfusion.analysis.pairs import pair_table, score_table
from avfusion.analysis.variant_answers import locations_of
from avfusion.features import FeatureStore
from avfusion.features.provenance import title
from avfusion.fusion import FusionNetwork, choose_variants
from avfusion.fusion.hyperparameters import Value
from avfusion.system.device import choose_device
from avfusion.system.markdown import markdown_table
from avfusion.system.seeds import derive_seed
from avfusion.training.ensemble import ENSEMBLE
from avfusion.training.many import Trainer
from avfusion.training.split_features import SplitFeatures
from avfusion.training.stored_results import StoredResults
from avfusion.tuning.space import make_space
from benchmarks.fair.answers import DEFAULTS, OPTIONS, TUNED, Answers, Row, write_csv

REFERENCE = "baseline"
SINGLE: tuple[tuple[str, dict[str, Value]], ...] = (
    ("baseline", {"mixup": 0.2}),
    ("baseline", {"modality_dropout": 0.2}),
    ("baseline", {"balance": 0.4}),
    ("baseline", {"label_smoothing": 0.1}),
    ("baseline", {"scheduler": "cosine"}),
    ("posthoc_late", {"rule": "mean"}),
    ("posthoc_late", {"rule": "weighted"}),
)
"""Variants with a single change of their defaults."""
GROUPS = (DEFAULTS, TUNED, OPTIONS)
WORDS = {"accuracy": "accuracy", "log_loss": "log loss"}
"""The scores that the table shows."""
VERDICTS: Mapping[str, Mapping[str, tuple[str, str] | None]] = {
    DEFAULTS: {"than baseline": (DEFAULTS, REFERENCE)},
    TUNED: {"than tuned baseline": (TUNED, REFERENCE), "than its defaults": None},
    OPTIONS: {"than its defaults": None},
}
"""For each group, the columns of verdicts (on accuracy / on log loss), and beside which row; None is its defaults."""


def train_all(
    answers: Answers,
    variants: Sequence[type[FusionNetwork]],
    trials: int,
    space: dict[str, str],
    groups: Sequence[str] = GROUPS,
) -> list[Row]:
    """Train everything of `groups` that is not yet there; the rows."""
    spaces = {variant.id: make_space(variant, space) for variant in variants}
    known = {variant.id: variant for variant in variants}
    defaults = {name: {**one.defaults, **one.fixed} for name, one in spaces.items()}
    asked = {Row(DEFAULTS, name): [defaults[name]] for name in spaces}
    for name, one in spaces.items():
        drawn = one.grid(trials - 1, derive_seed("fair table", name))
        asked[Row(TUNED, name)] = [defaults[name], *map(one.complete, drawn)]
    for name, change in SINGLE:
        if name in spaces:
            words = " ".join(f"{key}={value}" for key, value in change.items())
            asked[Row(OPTIONS, f"{name} {words}")] = [{**defaults[name], **change}]
    rows = [row for row in asked if row.group in groups]
    for row in rows:
        answers.answer(row, known[row.variant], asked[row])
    for path in answers.trainer.kept.folder.iterdir() if TUNED in groups else ():
        shutil.rmtree(path)  # the tuned variants were the last to need what the defaults came to
    for group in (DEFAULTS, TUNED):
        if group in groups:
            answers.combine(group)
            rows.append(Row(group, ENSEMBLE))
    return rows


def pairs_of(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """What is compared: every row with the reference of its group, and every change with the defaults."""
    found = []
    for row in rows:
        if row.group != OPTIONS and row.name != REFERENCE:
            found.append((row.title, Row(row.group, REFERENCE).title))
        if row.group != DEFAULTS:
            found.append((row.title, row.variant))
    return found


def tables(answers: Answers, rows: Sequence[Row], scores: pd.DataFrame, pairs: pd.DataFrame) -> Iterator[str]:
    """A table for each group, in Markdown."""
    values = {(row["variant"], row["score"]): row for row in scores.to_dict("records")}
    verdicts = {(row["first"], row["second"], row["score"]): row["verdict"] for row in pairs.to_dict("records")}
    for group in dict.fromkeys(row.group for row in rows):
        heads, body = [group, *WORDS.values(), *VERDICTS[group], "seconds"], []
        for row in (row for row in rows if row.group == group):
            shown = (values[row.title, score] for score in WORDS)
            cells = [f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})" for one in shown]
            for reference in VERDICTS[group].values():
                other = Row(*reference).title if reference else row.variant
                told = [verdicts.get((row.title, other, score), "") for score in WORDS]
                cells.append(" / ".join(told) if any(told) else "")
            trials = pd.DataFrame() if row.name == ENSEMBLE else answers.trials(row)
            cells.append("" if trials.empty else f"{trials.groupby('trial')['seconds'].mean().sum():.1f}")
            if group == TUNED:
                kept = "" if trials.empty else f"{trials.loc[trials['trial'] == 0, 'chosen'].sum()}"
                cells.append(kept)
            body.append([row.name, *cells])
        yield markdown_table(heads + ["defaults kept"] * (group == TUNED), body)


def main() -> None:
    """Train, compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--features", type=Path, required=True, help="feature store")
    parser.add_argument("--output", type=Path, required=True, help="folder to write, or to go on in")
    parser.add_argument("--variants", default="all", help="all, quick, or ids with commas; baseline must be one")
    parser.add_argument("--trials", type=int, default=8, help="of each variant, its defaults among them")
    parser.add_argument("--groups", default=",".join(GROUPS), help="what is trained; the others need the defaults")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--space", default="", help="instead of what variants search, as epochs=20,dropout=0:0.3")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    store = FeatureStore.open(given.features)
    kept = StoredResults(given.output / "trained")
    kept.folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(SplitFeatures(store), choose_device("cpu"), kept, given.workers, given.folds)
    answers = Answers(trainer, tuple(map(int, given.seeds.split(","))), given.output)
    space = dict(item.split("=") for item in given.space.split(",") if item)
    variants = choose_variants(tuple(given.variants.split(",")))
    rows = train_all(answers, variants, given.trials, space, given.groups.split(","))
    found = [answers.read(row) for row in rows]
    first = found[0].answers
    locations = locations_of(first, find_locations(first.ids, None, store))
    scores, pairs = score_table(found, locations), pair_table(found, locations, pairs=pairs_of(rows))
    write_csv(given.output / "scores.csv", scores)
    write_csv(given.output / "pairs.csv", pairs)
    what = f"{title(store.provenance)}; {len(first)} clips at {len(locations)} locations, folds={given.folds}, "
    what += f"seeds={given.seeds}, {given.trials} trials a variant; {datetime.now(UTC):%Y-%m-%d}"
    text = "\n\n".join([what, *tables(answers, rows, scores, pairs)])
    (given.output / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
