"""How fast is training? Features of TAU's size, side by side with the usual way; prints one table.

    python -m benchmarks.training                        as published: about 13 minutes, 10 GB on disk
    python -m benchmarks.training --train 600 --held-out 300 --frames 8 --clips 256 --sweep-epochs 2      to see it run

Compared with:
- `baseline`: the usual loop. It reads every clip from HDF5 through a DataLoader with the number of workers that is best
  for a whole epoch, takes the mean in the network and steps plain Adam, in batches of the study's 128, from the same
  weights. Its 30 epochs are extrapolated from its first and its best one; ours are measured.
- alpha sweep: one worker (a process of one thread), and one process with all threads, one training after the other.
- `flatten`, `lstm`: torch's plain modules with plain `torch.optim.Adam`, in float32, from the same tensors in memory,
  same weights at the start and same batches; means and standard deviations of accuracy over the seeds. Ours is in bf16
  where this processor has AMX, else in float32 too.

- `cross_attention`, `bottleneck`: `lstm`, all in float32.

Every side runs in a process of its own with a warm page cache. An epoch includes validation. Ours are medians, and both
sides of `flatten` and `lstm`, which take turns seed by seed, each after a warm-up of two batches.
"""

import argparse
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import torch

from benchmarks.apart import Apart
from benchmarks.side_by_side import machine, print_table
from benchmarks.tau_features import DIM, N_CLASSES, make_features, warm
from benchmarks.training_sides import EPOCHS, Side, fastest_precision, framewise, measured, ours, sweep, usual

SEEDS = (0, 1, 2)

Row = tuple[str, ...]
HEADER = ("what", "against", "theirs, s", "ours, s", "times", "needed", "memory theirs, MB: own + mapped files", "ours")


def row(what: str, against: str, theirs: Side, ours: Side, seconds: tuple[float, float], needed: float | None) -> Row:
    """One line of the table, from what the compared side and ours took; `needed` is the ratio to reach."""
    memory = (f"{side.memory.own:,.0f} + {side.memory.files:,.0f}" for side in (theirs, ours) if side.memory)
    took = [f"{value:.2f}" for value in (*seconds, seconds[0] / seconds[1])]
    return (what, against, *took, f"{needed:g}" if needed else "", *memory)


def compare_baseline(folder: Path, given: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """An epoch, and 30 epochs, of `baseline`."""
    theirs = measured(usual, folder, given.frames)
    mine = measured(ours, folder, "baseline", EPOCHS)
    epochs = theirs.epochs[0], statistics.median(mine.epochs)
    n = len(theirs.accuracies)
    notes = [
        f"baseline, usual loop: {theirs.note}",
        f"baseline: accuracy after {n} epochs {theirs.accuracies[-1]:.4f} and {mine.accuracies[n - 1]:.4f}, "
        f"ours after {EPOCHS} {mine.accuracies[-1]:.4f}; chance is {1 / N_CLASSES:g}",
    ]
    return [
        row("`baseline`, an epoch", "HDF5 per item", theirs, mine, epochs, 40),
        row(f"`baseline`, {EPOCHS} epochs and pooling", "the same, extrapolated", theirs, mine,
            (theirs.total, mine.total), 20),
    ], notes  # fmt: skip


def compare_sweep(folder: Path, given: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """The alpha sweep with two workers against one worker and against one process with all threads."""
    two, one, threads = (measured(sweep, folder, n, given.sweep_epochs) for n in (2, 1, 0))
    what = f"alpha sweep, 17 x {given.sweep_epochs} epochs"
    differing = max(abs(a - b) for side in (one, threads) for a, b in zip(two.accuracies, side.accuracies, strict=True))
    return [
        row(what, "one worker", one, two, (one.total, two.total), 1.6),
        row(what, f"one process, {torch.get_num_threads()} threads", threads, two, (threads.total, two.total), None),
    ], [
        f"alpha sweep: accuracies {min(two.accuracies):.4f} to {max(two.accuracies):.4f}, "
        f"the sides differ by at most {differing:.4f}"
    ]


def compare_memory(folder: Path, given: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """What a variant that keeps all frames takes with all clips; `lstm` takes as much more as with few clips."""
    whole = measured(ours, folder, "flatten", 1)
    assert whole.memory is not None
    memory = f"{whole.memory.own:,.0f} MB and {whole.memory.files:,.0f} MB of mapped files"
    return [], [f"`flatten`, one epoch with all {given.train + given.held_out} clips: {whole.total:.0f} s, {memory}"]


def compare_framewise(variant: str, n_epochs: int, needed: float, given: argparse.Namespace) -> tuple[Row, str]:
    """A variant that keeps all frames against plain Adam, in turn for each seed."""
    theirs, mine = Side([], 0.0, []), Side([], 0.0, [])
    with Apart() as plain, Apart() as fast:
        for seed in SEEDS:
            for side, process in ((theirs, plain), (mine, fast)):
                took = process(framewise, variant, given.clips, given.frames, n_epochs, seed, process is plain)
                side.epochs.extend(took.epochs)
                side.accuracies.extend(took.accuracies)
                side.memory = process.memory
    medians = statistics.median(theirs.epochs), statistics.median(mine.epochs)
    what = f"`{variant}`, an epoch of {given.clips} clips"
    line = row(what, "plain Adam and modules", theirs, mine, medians, needed)
    both = (f"{statistics.mean(s.accuracies):.4f} ± {statistics.stdev(s.accuracies):.4f}" for s in (theirs, mine))
    after = f"accuracy after {n_epochs} epochs, {len(SEEDS)} seeds"
    return line, f"{variant}, ours in {fastest_precision()}: {after}: {' and '.join(both)}"


def compare_with_lstm(given: argparse.Namespace) -> list[Row]:
    """An epoch of the variants that attend against one of `lstm`, all three in turn for each seed, in float32."""
    sides = {variant: Side([], 0.0, []) for variant in ("lstm", "cross_attention", "bottleneck")}
    with ExitStack() as stack:
        processes = {variant: stack.enter_context(Apart()) for variant in sides}
        for seed in SEEDS:
            for variant, side in sides.items():
                process = processes[variant]
                took = process(framewise, variant, given.clips, given.frames, 2, seed, False, "float32")
                side.epochs.extend(took.epochs)
                side.accuracies.extend(took.accuracies)
                side.memory = process.memory
    slow = sides.pop("lstm")
    return [
        row(f"`{variant}`, an epoch of {given.clips} clips", "`lstm`", slow, side,
            (statistics.median(slow.epochs), statistics.median(side.epochs)), 1)
        for variant, side in sides.items()
    ]  # fmt: skip


def _stolen() -> float:
    """Seconds that this virtual machine's processors had to wait for others; 0 where that is not known."""
    path = Path("/proc/stat")
    return int(path.read_text().split()[8]) / os.sysconf("SC_CLK_TCK") if path.is_file() else 0.0


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--train", type=int, default=8646, help="training clips")
    parser.add_argument("--held-out", type=int, default=3645, help="validation clips")
    parser.add_argument("--frames", type=int, default=96, help="frames of a clip")
    parser.add_argument(
        "--clips", type=int, default=1000, help="training clips of flatten, lstm, attention; 2 held out for 5"
    )
    parser.add_argument("--sweep-epochs", type=int, default=8, help="epochs of each alpha")
    parser.add_argument("--only", default="baseline,sweep,memory,flatten,lstm,attention", help="parts to measure")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "avfusion-benchmark-tuning")
    given = parser.parse_args()
    parts, started, stolen = given.only.split(","), time.perf_counter(), _stolen()
    folder = (given.folder / f"{given.train}-{given.held_out}-{given.frames}").absolute()
    rows: list[Row] = []
    notes: list[str] = []
    if {"baseline", "sweep", "memory"} & set(parts):
        make_features(folder, given.train, given.held_out, given.frames)
        warm(folder)
    for part, compare in (("baseline", compare_baseline), ("sweep", compare_sweep), ("memory", compare_memory)):
        if part in parts:
            more_rows, more_notes = compare(folder, given)
            rows, notes = rows + more_rows, notes + more_notes
    for part, n_epochs, needed in (("flatten", 4, 1.8), ("lstm", 2, 1.7)):
        if part in parts:
            line, note = compare_framewise(part, n_epochs, needed, given)
            rows, notes = [*rows, line], [*notes, note]
    if "attention" in parts:
        rows += compare_with_lstm(given)
    print(machine("h5py"))
    print(
        f"{given.train} + {given.held_out} clips of [{given.frames}, {DIM}] x 2; {time.perf_counter() - started:.0f} s"
    )
    print(f"{_stolen() - stolen:.0f} s of processor time went to other machines")
    print_table("Training, side by side (medians)", HEADER, rows)
    print("", *("- " + note for note in notes), sep="\n")


if __name__ == "__main__":
    main()
