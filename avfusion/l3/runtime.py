"""How a network runs: number format, batches, folded BatchNorm."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from itertools import islice
from threading import Barrier
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from avfusion.errors import unknown
from avfusion.l3.folding import FoldedSubnetwork
from avfusion.l3.network import Subnetwork
from avfusion.l3.presets import SubnetworkConfig
from avfusion.l3.winograd import uses_winograd
from avfusion.system.device import multiplies_bf16, one_thread, refusing_bf16

Number = TypeVar("Number", bound=np.generic)

PRECISIONS = ("float32", "bf16", "auto")
_SMALL = SubnetworkConfig(1, (8, 8), (8, 8), final_pool=(4, 4), relu_first=frozenset({0}))  # every kind of layer


def choose_precision(name: str, device: torch.device) -> str:
    """`float32` or `bf16`; `auto` takes bf16 where the hardware multiplies it. UserError for others."""
    if name not in PRECISIONS:
        raise unknown("precision", name, list(PRECISIONS))
    if name == "auto":
        return "bf16" if multiplies_bf16(device) else "float32"
    return name


def check_precision(precision: str, device: torch.device) -> None:
    """Raise `UserError` if `device` cannot embed in `precision`: else each clip would fail by itself."""
    if precision == "bf16":
        with refusing_bf16("embed clips", device):
            list(subnetwork_runner(Subnetwork(_SMALL), device, precision).stream([torch.zeros(1, 1, 8, 8)]))


def number_format(precision: str) -> torch.dtype:
    """Of the weights, by the name that `choose_precision` gave."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


class Runner:
    """A network that is ready for inference, on a device: batches [B, ...] float32 -> embeddings [B, D].

    Args:
        network: in evaluation mode, in its number format.
        device: where it goes.
        batch_size: the number of inputs that one call should bring on a processor: few, so that activations stay in its
            caches. A GPU takes more.
        apart: each of torch's threads embeds inputs of its own; then `batch_size` is at least their number.
    """

    def __init__(self, network: nn.Module, device: torch.device, batch_size: int, apart: bool = False) -> None:
        self.device = device
        self.network = network.to(device)
        self._threads = torch.get_num_threads() if apart else 1
        self.batch_size = max(batch_size, self._threads, 32 if device.type == "cuda" else 1)

    def stream(self, batches: Iterable[Tensor]) -> Iterator[npt.NDArray[np.float32]]:
        """Embeddings [B, D] of each of the batches (float32, any device), in order.

        On a GPU, the next batch is decoded and prepared while this one is computed.
        """
        running: Tensor | None = None
        for inputs in batches:
            started = self._start(inputs)
            if running is not None:
                yield running.float().cpu().numpy()
            running = started
        if running is not None:
            yield running.float().cpu().numpy()

    def _start(self, inputs: Tensor) -> Tensor:
        """The embeddings, which a GPU may still be computing."""
        if self.device.type == "cuda" and inputs.device.type == "cpu":
            inputs = inputs.contiguous().pin_memory()
        if self._threads > 1:  # one input, too: with a thread of its own its bits are those that it has among others
            pool = _pool(self._threads)
            with one_thread():  # each, that is
                return torch.cat(list(pool.map(self._embed, torch.split(inputs, 1))))
        return self._embed(inputs)

    def _embed(self, inputs: Tensor) -> Tensor:
        with torch.inference_mode(), self._exactly():
            embeddings: Tensor = self.network(inputs.to(self.device, non_blocking=True))
        return embeddings

    def _exactly(self) -> AbstractContextManager[object]:
        """On CUDA: float32 convolutions not in TF32, and the same bits in every process."""
        if self.device.type != "cuda":
            return nullcontext()
        return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


@lru_cache(maxsize=1)
def _pool(count: int) -> ThreadPoolExecutor:
    """Threads that embed one input each: sharing each of a network's many small steps would gain less."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "l3", torch.set_num_threads, (1,))
    all_there = Barrier(count)
    list(pool.map(lambda _: all_there.wait(), range(count)))
    torch.set_num_threads(before)  # else threads that others start later would have the pool's number
    return pool


def subnetwork_runner(subnetwork: Subnetwork, device: torch.device, precision: str) -> Runner:
    """A subnetwork of L3-Net, folded."""
    height, width = subnetwork.config.input_size
    activations = height * width * subnetwork.config.block_channels[0]
    winograd = uses_winograd(subnetwork.config, device, precision)
    with one_thread():  # transformed weights have the same bits wherever they are made
        folded = FoldedSubnetwork(subnetwork, number_format(precision), winograd=winograd)
    return Runner(folded, device, max(1, min(8, 2**20 // activations)), apart=winograd)


def batched(arrays: Iterator[npt.NDArray[Number]], size: int) -> Iterator[npt.NDArray[Number]]:
    """Stacks of up to `size` consecutive `arrays`."""
    while batch := list(islice(arrays, size)):
        yield np.stack(batch)


def joined(parts: Iterable[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Parts [n_i, D] as one array, in memory that grows in place: `np.concatenate` would need it twice."""
    content, width = bytearray(), 0
    for part in parts:
        content += np.ascontiguousarray(part).data
        width = part.shape[1]
    return np.frombuffer(content, np.float32).reshape(-1, max(1, width))
