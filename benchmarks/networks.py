"""How fast are OpenL3's networks alone, from ready spectrograms and pictures? Side by side, in one run.

    python -m benchmarks.networks                      about 5 minutes on two cores
    python -m benchmarks.networks --threads 1          processor time, which other work on the machine disturbs less
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 python -m benchmarks.networks

Ours is what `extract` runs. It is compared with the same by direct convolution, with eager float32 PyTorch
(benchmarks/usual_extraction.py), with ONNX Runtime at its best batch (benchmarks/onnx_networks.py) and with the
original package `openl3`, if they can be imported. Weights are random and equal, and errors are told against float64.
The third line imitates a processor without AVX-512, but for its caches and clock, for all but ONNX Runtime.
"""

import argparse
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from avfusion.embedders import load_embedder
from avfusion.errors import UserError
from avfusion.l3.api import L3, load_l3
from avfusion.l3.folding import FoldedSubnetwork
from avfusion.l3.network import Subnetwork
from avfusion.l3.presets import BRANCHES, Branch
from avfusion.l3.runtime import choose_precision
from avfusion.system.device import choose_device
from benchmarks.onnx_networks import OnnxNetwork
from benchmarks.side_by_side import alternate, machine, peak_rate, print_table, smallest_cosine
from benchmarks.usual_extraction import UsualExtraction, count_operations

ORIGINAL = "original"


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="float32", help="of our side")
    parser.add_argument("--device", default="cpu", help="of all sides but ONNX Runtime's")
    parser.add_argument("--threads", type=int, help="all cores by default")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--inputs", type=int, default=16, help="windows and frames of one turn")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    device = choose_device(given.device)
    print(machine(), f"{torch.get_num_threads()} threads", torch.backends.cpu.get_cpu_capability(), sep=", ")
    networks(device, choose_precision(given.precision, device), given.repeats, given.inputs)


def networks(device: torch.device, precision: str, repeats: int, n_inputs: int) -> None:
    """The networks alone, from ready spectrograms and pictures: rates, ratios, error, and the share of the peak."""
    ours = load_l3("openl3", weights="untrained", precision=precision, device=device.type)
    usual, best = UsualExtraction(device), UsualExtraction(device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    peak = peak_rate(device, dtype, clock)
    generator = np.random.default_rng(0)
    for branch in BRANCHES:
        network = ours.loaded.networks[branch]
        inputs = _inputs(generator, network, n_inputs)
        best.batch_size = best.best_batch_size(branch, inputs)
        sides: dict[str, Callable[[], Any]] = {
            "ours": partial(_ours, ours, branch, inputs),
            "ours by direct convolution": partial(_direct, FoldedSubnetwork(network, dtype).to(device), inputs, device),
            "eager, batch 32": partial(usual.embed, branch, inputs),
            f"eager, batch {best.batch_size}": partial(best.embed, branch, inputs),
        }
        sides |= _onnx(network, inputs) | _original_network(branch, inputs)
        seconds = alternate(sides, repeats, clock=clock)
        exact = _direct(deepcopy(network).double(), inputs[:2].astype(np.float64), torch.device("cpu"))
        rows = []
        for name, call in sides.items():
            rate, found = n_inputs / seconds[name], call()[:2]
            # the original's model begins with its own front-end: its sound is another
            other = name == ORIGINAL and branch == "audio"
            rows.append([
                name, f"{rate:.2f}", f"{seconds[name] / seconds['ours']:.2f}",
                "" if other else f"{np.linalg.norm(found - exact) / np.linalg.norm(exact):.1e}",
                "" if other else f"{1 - smallest_cosine(found, exact):.1e}",
                f"{rate * count_operations(network) / peak:.0%}",
            ])  # fmt: skip
        unit = {"audio": "windows/s", "image": "frames/s"}[branch]
        header = [
            branch,
            unit,
            "times as long as ours",
            "relative L2 to float64",
            "1 - cosine",
            "direct FLOP / peak",
        ]
        print_table(f"Networks alone (peak: {peak / 1e9:.0f} GFLOP/s, a matrix product)", header, rows)


def _inputs(generator: np.random.Generator, network: Subnetwork, count: int) -> NDArray[np.float32]:
    """Noise of the size and range of the network's input: [N, C, H, W]."""
    shape = (count, network.config.in_channels, *network.config.input_size)
    low, high = (-80.0, 0.0) if network.config.in_channels == 1 else (0.0, 1.0)
    return generator.uniform(low, high, shape).astype(np.float32)


def _ours(l3: L3, branch: Branch, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    runner = l3.runner(branch)
    batches = torch.split(torch.from_numpy(inputs), runner.batch_size)
    return np.concatenate(list(runner.stream(batches)))


def _direct(network: nn.Module, inputs: NDArray[Any], device: torch.device) -> NDArray[Any]:
    with torch.inference_mode():
        embeddings = [network(one.to(device)) for one in torch.split(torch.from_numpy(inputs), 1)]
    joined = torch.cat(embeddings).cpu()
    result: NDArray[Any] = (joined.float() if joined.dtype == torch.bfloat16 else joined).numpy()
    return result


def _onnx(network: Subnetwork, inputs: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
    """The side of ONNX Runtime, if it can be had."""
    try:
        engine = OnnxNetwork(network, torch.get_num_threads())
    except ImportError as error:
        print(f"without ONNX Runtime: {error}")
        return {}
    engine.choose_batch_size(inputs)
    return {f"ONNX Runtime, batch {engine.batch_size}": partial(engine.embed, inputs)}


def original() -> Any:
    """The original package's embedder, or None where it cannot be had."""
    try:
        return load_embedder("openl3-original")
    except UserError:
        return None


def _original_network(branch: str, inputs: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
    """The side of the original's Keras model, if it can be had; its front-end is part of it."""
    embedder = original()
    if embedder is None:
        return {}
    if branch == "image":
        return {ORIGINAL: lambda: embedder.image_model.predict(np.moveaxis(inputs, 1, -1), batch_size=4, verbose=0)}
    windows = np.random.default_rng(0).standard_normal((len(inputs), 1, 48_000)).astype(np.float32)
    return {ORIGINAL: lambda: embedder.audio_model.predict(windows, batch_size=4, verbose=0)}


if __name__ == "__main__":
    main()
