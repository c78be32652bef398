"""Where does the time of a training step go? Steps of variants that keep all frames, by what they compute.

    python -m benchmarks.training_steps                       about a minute, on one thread, so that shares are of all
    python -m benchmarks.training_steps --variants flatten

Batches of 128 clips of [96, 512] x 2, as in `benchmarks.training`, by torch's profiler, which tells the time that each
of torch's operations takes itself. What it does not tell is Python, and the way to the operations.
"""

import argparse
import re
import time
from collections import defaultdict

import torch
from torch.profiler import ProfilerActivity, profile

from avfusion.fusion.base import Stage
from avfusion.training.fit import fit
from benchmarks.side_by_side import machine, print_table
from benchmarks.tau_features import BATCH
from benchmarks.training_sides import made, settings
from benchmarks.usual_training import examples

KINDS = {
    "recurrent layers": r"rnn|lstm",
    "matrix products": r"mm$|linear|matmul|bmm|mkldnn_",
    "attention": r"scaled_dot_product|flash|softmax",
    "Adam": r"adam",
    "copies, batches": r"copy|index|cat|clone|gather|stack|contiguous|select|slice|fill|zero",
    "normalisation, activations, dropout": r"norm|gelu|relu|tanh|sigmoid|dropout|threshold|bernoulli|random|uniform",
    "sums, element by element": r"add|mul|div|sub|sum|mean|pow|sqrt|exp|where|lt|rsqrt",
}
"""What the names of torch's operations (without `aten::`) have in them; the first that fits counts."""
OTHERS, OUTSIDE = "other operations", "Python, and the way to the operations"


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", default="lstm,cross_attention,bottleneck")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--frames", type=int, default=96, help="frames of a clip")
    given = parser.parse_args()
    torch.set_num_threads(1)
    columns = {variant: steps(variant, given.steps, given.frames) for variant in given.variants.split(",")}
    kinds = [kind for kind in (*KINDS, OTHERS, OUTSIDE) if any(column[kind] for column in columns.values())]
    rows = [("seconds a step", *(f"{sum(column.values()) / given.steps:.3f}" for column in columns.values()))]
    rows += [(kind, *(f"{column[kind] / sum(column.values()):.1%}" for column in columns.values())) for kind in kinds]
    print(machine(), "1 thread")
    print_table(f"A step of {BATCH} clips of {given.frames} frames, float32", ("what", *columns), rows)


def steps(variant: str, n_steps: int, n_frames: int) -> dict[str, float]:
    """Seconds of `n_steps` steps by kind, after an epoch that is not counted."""
    network = made(variant, n_frames, 0)
    params = settings(variant, epochs="2", patience="2", precision="float32")
    training, few = examples(n_steps * BATCH, n_frames, 0), examples(1, n_frames, 1)
    epochs = fit(Stage("", network), training, few, params, seed=0)
    next(epochs)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        started = time.perf_counter()
        next(epochs)
        took = time.perf_counter() - started
    seconds: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        seconds[_kind(event.key)] += event.self_cpu_time_total / 1e6
    seconds[OUTSIDE] = max(0.0, took - sum(seconds.values()))
    return seconds


def _kind(operation: str) -> str:
    name = operation.rpartition("::")[2].lower()
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), OTHERS)


if __name__ == "__main__":
    main()
