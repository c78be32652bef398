"""What is paid before and beside the work: imports, the wait for the first progress bar, MLflow per run.

    python -m benchmarks.startup

Nothing is compared with another project here. Each number is a median of three, after one that is not counted.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from avfusion.features import FeatureStore
from avfusion.fusion import choose_variants
from avfusion.jobs.train import asked_for, train_variants
from avfusion.tracking.session import connect
from avfusion.tracking.work import training_job
from avfusion.training.experiment import Result, resolve_params, score_test, train
from avfusion.training.many import Trainer
from avfusion.training.split_features import SplitFeatures
from benchmarks.clips import make_clip
from benchmarks.side_by_side import machine, print_table
from entrypoints.entry_points import ENTRY_POINTS
from tests.stores import make_store

HEAVY = ("torch", "mlflow", "optuna", "pandas", "sklearn", "scipy", "matplotlib", "av", "h5py", "statsmodels", "ray")
BAR = re.compile(rb"\d+/\d+ \[")  # what every progress bar shows


def main() -> None:
    """Measure and print."""
    print(machine("mlflow"))
    imports()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_store(folder / "store", seed=0, locations=24, separation=0.8)
        first_bars(folder)
        tracking(folder)


def imports() -> None:
    """Seconds of `--help`, and of a job's imports, with the heavy packages that these load."""
    bare = _median(lambda: _run("-c", "pass"))
    rows = [["python -c pass", f"{bare:.2f}", "", ""]]
    for name in sorted(ENTRY_POINTS):
        job = f"import sys; from entrypoints.command import load_job; load_job({name!r})"
        show = f"{job}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
        helped = _median(lambda name=name: _run("-m", f"entrypoints.{name}", "--help"))  # type: ignore[misc]
        loaded = _median(lambda job=job: _run("-c", job))  # type: ignore[misc]
        rows.append([name, f"{helped:.2f}", f"{loaded:.2f}", _run("-c", show).strip()])
    print_table("Imports", ["entry point", "--help, s", "imports of the job, s", "heavy packages among them"], rows)


def first_bars(folder: Path) -> None:
    """Seconds from the command to the first sight of a progress bar."""
    sound, pictures = make_clip(folder / "clips", seconds=2.0)
    lines = []
    for n in range(8):
        for path in (sound, pictures):
            shutil.copy(path, path.with_stem(f"clip{n}"))
        lines.append(f"clip{n}.wav,clip{n}.mp4,{'ab'[n % 2]},place{n}")
    (folder / "clips" / "clips.csv").write_text("\n".join(["audio,video,label,location", *lines]) + "\n")
    clips, store = str(folder / "clips" / "clips.csv"), str(folder / "store")
    commands = {
        "main (scenes are rendered)": ["main"],
        "extract": ["extract", "--data", clips],
        "train": ["train", "--features", store, "--variants", "late"],
        "sweep": ["sweep", "--features", store],
        "tune": ["tune", "--features", store],
    }
    rows = []
    for name, (entry, *options) in commands.items():
        seconds = [_until_bar(folder, ["-m", f"entrypoints.{entry}", *options]) for _ in range(4)][1:]
        rows.append([name, f"{statistics.median(seconds):.1f}"])
    print_table("First progress bar", ["command", "s"], rows)


def tracking(folder: Path) -> None:
    """A job's runs with everything that is logged, against the same training and scoring alone."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    data, device = SplitFeatures(FeatureStore.open(folder / "store")), torch.device("cpu")
    variants, seeds = choose_variants(("quick",)), (0, 1)
    params = resolve_params(variants, {})

    def alone() -> list[Result]:
        return [
            score_test(data, train(data, variant, values, seed, device))
            for variant, values in zip(variants, params, strict=True)
            for seed in seeds
        ]

    def tracked() -> object:
        with training_job("train") as job:
            work = job.begin(asked_for(variants, params, seeds, None), data.store, device)
            return train_variants(Trainer(data, device, work.results), variants, params, seeds, work)

    connect()
    n_runs = len(variants) * (len(seeds) + 1)
    bare, logged = _median(alone), _median(tracked)
    rows = [[f"{bare:.1f}", f"{logged:.1f}", str(n_runs), f"{(logged - bare) / n_runs:.2f}"]]
    header = ["training alone, s", "with MLflow, figures and models, s", "runs", "s per run"]
    print_table("MLflow per run (models and figures included)", header, rows)


def _median(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(4):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[1:])


def _run(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout


def _until_bar(folder: Path, arguments: list[str]) -> float:
    """Starts the command in a new folder, and kills it once it shows a progress bar."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        environment = os.environ | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db",
            "PYTHONPATH": str(Path.cwd()),
        }
        begun = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], cwd=place, env=environment, stderr=subprocess.PIPE)
        assert process.stderr is not None
        seen = b""
        while not BAR.search(seen):
            piece = os.read(process.stderr.fileno(), 4096)
            if not piece:
                raise RuntimeError(f"no progress bar: {seen.decode()[-500:]}")
            seen += piece
        seconds = time.perf_counter() - begun
        process.kill()
        process.wait()
    return seconds


if __name__ == "__main__":
    main()
