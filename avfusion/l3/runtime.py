"""How a subnetwork runs: number format, batches, folded BatchNorm."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avfusion.errors import unknown
from avfusion.l3.folding import FoldedSubnetwork
from avfusion.l3.network import Subnetwork

PRECISIONS = ("float32", "bf16", "auto")


def choose_precision(name: str, device: torch.device) -> str:
    """`float32` or `bf16`; `auto` takes bf16 where it is faster (CUDA, CPU with AMX). UserError for others."""
    if name not in PRECISIONS:
        raise unknown("precision", name, list(PRECISIONS))
    if name == "auto":
        return "bf16" if device.type == "cuda" or cpu_has_amx() else "float32"
    return name


@lru_cache(maxsize=1)
def cpu_has_amx() -> bool:
    """Whether this processor multiplies bf16 matrices in hardware (known on Linux only)."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


class Runner:
    """A subnetwork folded for inference, on a device, in a number format.

    `batch_size` is the number of inputs that one call should bring.
    """

    def __init__(self, subnetwork: Subnetwork, device: torch.device, precision: str) -> None:
        self.device = device
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.network = FoldedSubnetwork(subnetwork, dtype).to(device)
        self.batch_size = _batch_size(subnetwork, device)

    def embed(self, inputs: Tensor) -> npt.NDArray[np.float32]:
        """Embeddings [B, D] of `inputs` [B, C, H, W] (float32, any device)."""
        with torch.inference_mode(), self._full_float32():
            embeddings = self.network(inputs.to(self.device))
        result: npt.NDArray[np.float32] = embeddings.float().cpu().numpy()
        return result

    def _full_float32(self) -> AbstractContextManager[object]:
        """On CUDA, keeps float32 convolutions from being computed in TF32."""
        if self.device.type != "cuda":
            return nullcontext()
        return torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)


def _batch_size(subnetwork: Subnetwork, device: torch.device) -> int:
    """Few inputs on a CPU, so that activations stay in its caches; many on a GPU."""
    height, width = subnetwork.config.input_size
    if device.type == "cuda":
        return 64
    activations = height * width * subnetwork.config.block_channels[0]
    return max(1, min(8, 2**20 // activations))


def batched(arrays: Iterator[npt.NDArray[np.float32]], size: int) -> Iterator[npt.NDArray[np.float32]]:
    """Stacks of up to `size` consecutive `arrays`."""
    while batch := list(islice(arrays, size)):
        yield np.stack(batch)
