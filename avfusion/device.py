"""Where tensors are computed."""

from functools import lru_cache
from pathlib import Path

import torch

from avfusion.errors import UserError, unknown

DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str) -> torch.device:
    """The device that `name` asks for; `auto` is a GPU where torch finds one, else the processor."""
    if name not in DEVICES:
        raise unknown("device", name, list(DEVICES))
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: torch finds no GPU here; use device=cpu or device=auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@lru_cache(maxsize=1)
def cpu_has_amx() -> bool:
    """Whether this processor multiplies bf16 matrices in hardware (known on Linux only)."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
