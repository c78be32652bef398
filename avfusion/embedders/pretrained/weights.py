"""Weight files of the networks that come with the package: safetensors, checked against the network.

A file may hold several networks: names are the network's, a dot, and those of its `state_dict`. Shipped files hold
matrices in float16, and vectors (biases, BatchNorm) in float32: float16 makes the smallest variances zero.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from avfusion.errors import UserError
from avfusion.system.files import refuse_larger

MOST_MEBIBYTES = 128
"""Size of a file of weights; the shipped ones take 10 at most."""

State = dict[str, Tensor]


def state_of(network: nn.Module) -> State:
    """The weights of `network`, without BatchNorm's counters of batches."""
    return {name: t for name, t in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def fill(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Give `network` the weights `state` (any float type), and put it into evaluation mode.

    Raises UserError, naming `origin` and the weight, when one is missing, has another shape, is not finite, or is not
    known.
    """
    expected = state_of(network)
    for name, tensor in expected.items():
        if name not in state:
            raise UserError(f"{origin}: the weight {name!r} is missing; is this a file for another network?")
        if state[name].shape != tensor.shape:
            found, wanted = list(state[name].shape), list(tensor.shape)
            raise UserError(f"{origin}: the weight {name!r} has shape {found}; expected {wanted}")
        if not torch.isfinite(state[name]).all():
            raise UserError(f"{origin}: the weight {name!r} has values that are not finite; the file is damaged")
    unknown = sorted(set(state) - set(expected))
    if unknown:
        raise UserError(f"{origin}: unknown weight {unknown[0]!r}; is this a file for another network?")
    network.load_state_dict(dict(state), strict=False)
    network.eval()


def randomise(network: nn.Module, generator: torch.Generator) -> None:
    """Random kernels after He et al. (2015), zero biases; BatchNorm as it is (see `avfusion.l3.untrained`)."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                kernel = torch.randn(module.weight.shape, generator=generator)
                module.weight.copy_(kernel * (2.0 / module.weight[0].numel()) ** 0.5)
                if module.bias is not None:
                    module.bias.zero_()


def load_weights(network: nn.Module, name: str, path: Path) -> None:
    """Give `network` the weights that `path` holds under `name`.

    Raises UserError for a file that is not safetensors, is damaged, larger than `MOST_MEBIBYTES`, or has no such
    network or another one.
    """
    prefix = f"{name}."
    try:
        refuse_larger(path, MOST_MEBIBYTES)
        with safe_open(path, framework="pt") as file:
            names = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118 - no iterator
            state = {key.removeprefix(prefix): file.get_tensor(key) for key in names}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as safetensors: {error}") from None
    if not state:
        raise UserError(f"{path} holds no network {name!r}; was it saved by avfusion?")
    fill(network, state, str(path))


def weights_file(networks: Mapping[str, nn.Module], matrices: torch.dtype = torch.float32) -> bytes:
    """What a safetensors file with the weights of `networks` holds; `matrices` is the type of all but vectors."""
    tensors = {
        f"{name}.{key}": tensor.detach().cpu().to(matrices if tensor.ndim > 1 else torch.float32).contiguous()
        for name, network in networks.items()
        for key, tensor in state_of(network).items()
    }
    return save(tensors)


def weights_digest(network: nn.Module) -> str:
    """sha256 over names, shapes and float32 values, the same from whatever file they were read."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state_of(network).items()):
        digest.update(f"{name}{list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
