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
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from avfusion.features import FeatureStore
from avfusion.fusion import FusionNetwork, Shape, build, variants
from avfusion.fusion.base import Stage
from avfusion.fusion.hyperparameters import Value
from avfusion.system.device import multiplies_bf16
from avfusion.system.seeds import derive_seed
from avfusion.training.alpha_sweep import STUDY_ALPHAS
from avfusion.training.experiment import resolve_params, score_test, train
from avfusion.training.fit import Examples, fit
from avfusion.training.many import Trainer, Training
from avfusion.training.split_features import SplitFeatures
from avfusion.training.stored_results import StoredResults
from benchmarks.apart import Apart, Memory
from benchmarks.side_by_side import machine, print_table
from benchmarks.tau_features import BATCH, DIM, N_CLASSES, make_features, usual_loaders, warm
from benchmarks.usual_training import InMemory, examples, plain_adam, plain_epoch, use_torch_dropout

EPOCHS, SEEDS, CPU = 30, (0, 1, 2), torch.device("cpu")


@dataclass
class Side:
    """What one side took: seconds of each epoch, all seconds, and the accuracies to compare."""

    epochs: list[float]
    total: float
    accuracies: list[float]
    note: str = ""
    memory: Memory | None = None


def measured(function: Callable[..., Side], *arguments: object) -> Side:
    """The `Side` that `function` returns in a process of its own."""
    with Apart() as process:
        return replace(process(function, *arguments), memory=process.memory)


def usual(folder: Path, n_frames: int) -> Side:
    """Epochs of `baseline` from HDF5, item by item: the first one, one with each number of workers, the best again."""
    network, params = made("baseline", n_frames, 0), settings("baseline")
    use_torch_dropout(network)
    adam, counts = plain_adam(network, params), range(len(os.sched_getaffinity(0)) + 1)
    first, *tried = [plain_epoch(network, adam, *usual_loaders(folder, n_workers)) for n_workers in (0, *counts)]
    best = min(counts, key=lambda n: tried[n][0])
    again = plain_epoch(network, adam, *usual_loaders(folder, best))
    epoch = min(tried[best][0], again[0])
    note = f"{best} loader workers were best; with {', '.join(f'{n}: {tried[n][0]:.2f} s' for n in counts)}"
    accuracies = [accuracy for _, accuracy in (first, *tried, again)]
    return Side([epoch], first[0] + (EPOCHS - 1) * epoch, accuracies, note)


def settings(variant: str, **given: str) -> dict[str, Value]:
    """The study's values, or `given` ones."""
    return resolve_params([variants()[variant]], given)[0]


def made(variant: str, n_frames: int, seed: int) -> FusionNetwork:
    """A network of `variant` as `avfusion.training.experiment.train` starts it."""
    torch.manual_seed(derive_seed("init", variant, seed))
    return build(variants()[variant], Shape(DIM, DIM, n_frames, N_CLASSES), settings(variant))


def ours(folder: Path, variant: str, n_epochs: int) -> Side:
    """Epochs of a variant from the feature store; all seconds include opening it and pooling or reading it."""
    params = settings(variant, epochs=str(n_epochs), patience=str(n_epochs))
    plain_adam(made(variant, 1, 0), params)  # the first optimiser of a process imports for seconds, on either side
    started = time.perf_counter()
    trained = train(SplitFeatures(FeatureStore.open(folder / "store")), variants()[variant], params, 0, CPU)
    total, history = time.perf_counter() - started, trained.history
    return Side([epoch.seconds for epoch in history], total, [epoch.val_accuracy for epoch in history])


def sweep(folder: Path, n_workers: int, n_epochs: int) -> Side:
    """Late fusion for each alpha of the study in `n_workers` processes; 0 is this process, with all its threads."""
    given = {"epochs": str(n_epochs), "patience": str(n_epochs)}
    trainings = [Training(variants()["late"], settings("late", alpha=str(a), **given), 0) for a in STUDY_ALPHAS]
    started = time.perf_counter()
    data = SplitFeatures(FeatureStore.open(folder / "store"))
    if n_workers:
        with tempfile.TemporaryDirectory() as kept:
            results = list(Trainer(data, CPU, StoredResults(Path(kept)), n_workers).results(trainings))
    else:
        results = [score_test(data, train(data, t.variant, t.params, t.seed, CPU)) for t in trainings]
    return Side([], time.perf_counter() - started, [result.metrics["val/accuracy"] for result in results])


def framewise(
    variant: str, n_clips: int, n_frames: int, n_epochs: int, seed: int, plain: bool, precision: str = ""
) -> Side:
    """Epochs of a variant that keeps all frames, after a warm-up of two batches; the accuracy is the last epoch's."""
    started = time.perf_counter()
    training, held_out = examples(n_clips, n_frames, seed), examples(n_clips * 2 // 5, n_frames, 1000 + seed)
    params = settings(
        variant, epochs=str(n_epochs), patience=str(n_epochs), precision=precision or _fastest_precision()
    )
    network = made(variant, n_frames, seed)
    few = Examples(*(values[: 2 * BATCH] for values in (training.audio, training.video, training.labels)))
    warm_up = made(variant, n_frames, 99)
    if plain:
        for module, data, others, epochs in ((warm_up, few, few, 1), (network, training, held_out, n_epochs)):
            use_torch_dropout(module)
            adam, batches = plain_adam(module, params), InMemory(data, seed)
            history = [plain_epoch(module, adam, batches, InMemory(others, None)) for _ in range(epochs)]
    else:
        list(fit(Stage("", warm_up), few, few, {**params, "epochs": 1}, seed))
        history = [
            (epoch.seconds, epoch.val_accuracy) for epoch in fit(Stage("", network), training, held_out, params, seed)
        ]
    return Side([seconds for seconds, _ in history], time.perf_counter() - started, [history[-1][1]])


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
    return line, f"{variant}, ours in {_fastest_precision()}: {after}: {' and '.join(both)}"


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


def _fastest_precision() -> str:
    return "bf16" if multiplies_bf16(CPU) else "float32"


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
