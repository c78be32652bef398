"""Where tensors are computed: processor or GPU, how many networks fit there, whether it can do bf16, by one thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch

from avfusion.errors import UserError, unknown
from avfusion.system.processes import available_cores

DEVICES = ("auto", "cpu", "cuda")
_MEMORY_OF_A_PROCESS = 4 * 2**30  # on a GPU: CUDA itself, OpenL3's weights and activations of 32 inputs in float32


def choose_device(name: str) -> torch.device:
    """The device that `name` asks for; `auto` is a GPU where torch finds one, else the processor."""
    if name not in DEVICES:
        raise unknown("device", name, list(DEVICES))
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: torch finds no GPU here; use device=cpu or device=auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def gpu_processes(name: str) -> int | None:
    """Processes with a network of their own that the GPU which `name` asks for can hold; None for the processor."""
    if choose_device(name).type == "cpu":
        return None
    room = int(torch.cuda.get_device_properties(0).total_memory) // _MEMORY_OF_A_PROCESS
    return max(1, min(room, available_cores()))


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, none of torch's operations is shared between threads, which would change the last bits of some.

    MKL has one number for the whole process: with more than one, products in threads of ours would be shared once more,
    and take longer.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def multiplies_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bf16 matrices in hardware: NVIDIA GPUs since Ampere, processors with AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return cpu_has_amx()


@contextmanager
def refusing_bf16(what: str, device: torch.device) -> Iterator[None]:
    """Turns the library's refusal to do `what` in bf16 on `device` into `UserError`."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        name = "GPU" if device.type == "cuda" else "processor"
        raise UserError(
            f"precision=bf16: this {name} cannot {what} in bf16 ({reason}); use precision=float32"
        ) from error


@lru_cache(maxsize=1)
def cpu_has_amx() -> bool:
    """Whether this processor multiplies bf16 matrices in hardware (known on Linux only)."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
