"""Weight files of the networks that come with the package: safetensors, checked against the network.

A file may hold several networks: names are the network's, a dot, and those of its `state_dict`. Shipped files hold
matrices in float16, and vectors (biases, BatchNorm) in float32: float16 makes the smallest variances zero.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from avfusion.errors import UserError
from avfusion.l3.weights import check_state, read_safetensors, state_of


def fill(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Give `network` the weights `state` (any float type), and put it into evaluation mode.

    Raises UserError, naming `origin` and the weight, when one is missing, has another shape, is not finite, or is not
    known.
    """
    check_state(state, {name: tuple(tensor.shape) for name, tensor in state_of(network).items()}, origin)
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

    Raises UserError for a file that is not safetensors, is damaged, or has no such network or another one.
    """
    state = read_safetensors(path, name)
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
