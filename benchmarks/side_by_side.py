"""What the benchmarks share: sides that take turns, medians, the machine, one table."""

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from avfusion.system.device import cpu_has_amx


def alternate(
    sides: Mapping[str, Callable[[], object]],
    repeats: int,
    warm: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each side's call; the sides take turns, after one call each that is not counted.

    `clock` may be `time.process_time` for sides of one thread: other work on the machine then counts less.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats + warm):
        for name, call in sides.items():
            begun = clock()
            call()
            if turn >= warm:
                seconds[name].append(clock() - begun)
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine(*packages: str) -> str:
    """Processor, GPU and versions, in one line."""
    names = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    parts = [f"{len(os.sched_getaffinity(0))} cores of {names[0] if names else platform.processor()}"]
    parts.append(f"AMX {'yes' if cpu_has_amx() else 'no'}")
    parts.append(f"GPU {torch.cuda.get_device_name() if torch.cuda.is_available() else 'none'}")
    parts.append(f"Python {platform.python_version()}")
    parts += [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy", *packages)]
    return ", ".join(parts)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table, so that it can go into benchmarks/README.md as it is."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]
    lines.insert(1, "-|-".join("-" * width for width in widths))
    print(f"\n{title}\n")
    print("\n".join(f"| {line} |" for line in lines), flush=True)


def peak_rate(device: torch.device, dtype: torch.dtype, clock: Callable[[], float] = time.perf_counter) -> float:
    """The best that a matrix product reaches here, in floating-point operations per second."""
    side = 8192 if device.type == "cuda" else 2048
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        begun = clock()
        product = one @ other
        float(product[0, 0])  # waits for a GPU
        best = min(best, clock() - begun)
    return 2 * side**3 / best


def smallest_cosine(found: NDArray[np.floating], reference: NDArray[np.floating]) -> float:
    """Of a row [D] with its reference."""
    found, reference = found.astype(np.float64), reference.astype(np.float64)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(reference, axis=1)
    return float(((found * reference).sum(1) / lengths).min())


def peak_memory(pid: int | str = "self") -> int:
    """Largest resident memory so far of a process, in bytes; 0 when it has gone."""
    for line in _lines(f"/proc/{pid}/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
