"""How fast is `tune`? Trials per minute on features of TAU's size, against the usual way.

    python -m benchmarks.tuning                        as published: 8,646 + 3,645 clips of [96, 512] x 2, 10 GB on disk
    python -m benchmarks.tuning --train 600 --held-out 300 --frames 8      a minute, to see that it runs

The features are random numbers, made once in --folder as a feature store and as HDF5. The usual way is a plain Optuna
loop around a training loop that reads every item from HDF5, through a DataLoader with as many workers as are best on
this machine, and averages over time in the network. Both train late fusion for 5 epochs a trial, with all that changes
the cost fixed, and no pruning. Prints JSON.
"""

import argparse
import json
import os
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import torch
from torch import nn
from torch.utils.data import DataLoader

from avfusion.features import FeatureStore
from avfusion.fusion import Shape, build, variants
from avfusion.tracking.runs import experiment_run, job_run
from avfusion.tracking.session import connect
from avfusion.tracking.studies import TrialRuns
from avfusion.tuning.leader import Leadership
from avfusion.tuning.plans import Plan
from avfusion.tuning.pool import Pool
from avfusion.tuning.space import make_space
from avfusion.tuning.storage import open_storage
from avfusion.tuning.study import open_study
from avfusion.tuning.worker import Ended, Started, quiet
from benchmarks.tau_features import DIM, N_CLASSES, PerItem, best_workers, make_features

EPOCHS = 5
FIXED = {
    "epochs": str(EPOCHS), "patience": str(EPOCHS), "batch_size": "128", "hidden": "512", "embedding": "128",
    "output_hidden": "256", "scheduler": "plateau", "label_smoothing": "0", "mixup": "0", "modality_dropout": "0",
    "balance": "0",
}  # fmt: skip
LATE = variants()["late"]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--train", type=int, default=8646, help="training clips")
    parser.add_argument("--held-out", type=int, default=3645, help="validation clips")
    parser.add_argument("--frames", type=int, default=96, help="frames of a clip")
    parser.add_argument("--trials", type=int, default=3, help="trials of each side in the comparison")
    parser.add_argument("--scaling-trials", type=int, default=16, help="trials of each side with one and two workers")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "avfusion-benchmark-tuning")
    given = parser.parse_args()
    folder = (given.folder / f"{given.train}-{given.held_out}-{given.frames}").absolute()
    make_features(folder, given.train, given.held_out, given.frames)
    quiet()
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    connect()
    usual = peer(folder, given.trials)
    ours = measure(folder, given.trials, 1, tracked=True)
    one, two = (measure(folder, given.scaling_trials, workers, tracked=False) for workers in (1, 2))
    tracked = measure(folder, given.scaling_trials, 2, tracked=True)
    result = {
        "clips": [given.train, given.held_out], "frames": given.frames, "epochs": EPOCHS, "cores": os.cpu_count(),
        "peer": usual, "one worker, tracked": ours,
        "times the peer, loading included": ours["trials_per_minute"] / usual["trials_per_minute"],
        "one worker": one, "two workers": two, "two workers, tracked": tracked,
        "two workers against one": two["steady_trials_per_minute"] / one["steady_trials_per_minute"],
        "two workers against one, start and loading included": two["trials_per_minute"] / one["trials_per_minute"],
        "share of tracking in the time": tracked["tracking_seconds"] / tracked["seconds"],
    }  # fmt: skip
    print(json.dumps(result, indent=2))


def peer(folder: Path, n_trials: int) -> dict[str, float]:
    """The usual way: trials per minute, and the number of loader workers that was best."""
    store = FeatureStore.open(folder / "store")
    n_held_out = int((store.clips["split"] == "val").sum())
    shape = Shape(DIM, DIM, int(store.clips["audio_frames"].iloc[0]), N_CLASSES)
    space = make_space(LATE, FIXED)
    n_workers = best_workers(PerItem(folder, "train"))

    def objective(trial: optuna.Trial) -> float:
        params = {
            "alpha": trial.suggest_float("alpha", 0.1, 0.9),
            "dropout": trial.suggest_float("dropout", 0.0, 0.6),
            "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        }
        network = build(LATE, shape, space.complete(params))
        adam = torch.optim.Adam(network.parameters(), lr=params["learning_rate"], weight_decay=params["weight_decay"])
        train = DataLoader(PerItem(folder, "train"), 128, shuffle=True, num_workers=n_workers)
        held_out = DataLoader(PerItem(folder, "val"), 128, num_workers=n_workers)
        loss = 0.0
        for _ in range(EPOCHS):
            for audio, video, labels in train:
                adam.zero_grad()
                nn.functional.cross_entropy(network.train()(audio, video), labels).backward()  # type: ignore[no-untyped-call]
                adam.step()
            with torch.no_grad():
                losses = [
                    nn.functional.cross_entropy(network.eval()(audio, video), labels, reduction="sum")
                    for audio, video, labels in held_out
                ]
            loss = float(sum(map(float, losses))) / n_held_out
        return loss

    started = time.perf_counter()
    optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).optimize(objective, n_trials=n_trials)
    seconds = time.perf_counter() - started
    return {"trials_per_minute": 60 * n_trials / seconds, "seconds": seconds, "loader_workers": n_workers}


@dataclass
class Clock:
    """A listener that keeps the time, and MLflow's if `runs` are kept."""

    runs: TrialRuns | None
    tracking: float = 0.0
    first: float = 0.0
    ends: list[float] = field(default_factory=list)

    def started(self, started: Started) -> str:
        """See `avfusion.tuning.pool.Listener`."""
        self.first = self.first or time.perf_counter()
        begun = time.perf_counter()
        run = self.runs.start(started.number, started.params) if self.runs else ""
        self.tracking += time.perf_counter() - begun
        return run

    def ended(self, ended: Ended) -> None:
        """See `avfusion.tuning.pool.Listener`."""
        self.ends.append(time.perf_counter())
        begun = time.perf_counter()
        if self.runs:
            self.runs.end(ended.number, ended.outcome, ended.metrics, ended.history)
        self.tracking += time.perf_counter() - begun

    def lost(self, number: int, reason: str) -> None:
        """See `avfusion.tuning.pool.Listener`."""
        raise RuntimeError(f"trial {number}: {reason}")


def measure(folder: Path, n_trials: int, n_workers: int, *, tracked: bool) -> dict[str, float]:
    """A study of ours from its first process to its last trial; `steady`: after every worker's first trial."""
    with tempfile.TemporaryDirectory() as temporary:
        storage = str(Path(temporary) / "studies.log")
        plan = Plan(
            name="benchmark", variant=LATE, features=folder / "store", features_digest="",
            space=make_space(LATE, FIXED), metric="log_loss", sampler="random", pruner="none", n_trials=n_trials,
            storage=storage,
        )  # fmt: skip
        study = open_study(plan, open_storage(storage))
        with (
            job_run("benchmark") if tracked else nullcontext(),
            experiment_run("study", {}) if tracked else nullcontext() as run,
        ):
            clock = Clock(TrialRuns(run.info.run_id, {}) if run is not None else None)
            started = time.perf_counter()
            Pool(plan, study, torch.device("cpu"), n_workers, clock).run(Leadership(study))
            seconds = time.perf_counter() - started
        ends = sorted(clock.ends)
        steady = 60 * (len(ends) - n_workers) / max(ends[-1] - ends[n_workers - 1], 1e-9)
    return {
        "trials_per_minute": 60 * n_trials / seconds, "steady_trials_per_minute": steady, "seconds": seconds,
        "seconds_to_first_trial": clock.first - started, "tracking_seconds": clock.tracking,
    }  # fmt: skip


if __name__ == "__main__":
    main()
