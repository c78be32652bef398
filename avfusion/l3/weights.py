"""The weights of networks as checked states, their digest, and safetensors files.

A safetensors file holds one network or several; names are the network's (`audio` or `image`, the branches of L3-Net), a
dot, and those of its `state_dict()`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from avfusion.errors import UserError
from avfusion.l3.network import Subnetwork
from avfusion.l3.presets import SubnetworkConfig
from avfusion.system.files import refuse_larger, replacing

MOST_MEBIBYTES = 128
"""Size of a file of weights; both of OpenL3's networks take 36."""

State = dict[str, Tensor]
Name = TypeVar("Name", bound=str)


def expected_shapes(config: SubnetworkConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight of a subnetwork, in network order."""
    with torch.device("meta"):
        network = Subnetwork(config)
    return {name: tuple(tensor.shape) for name, tensor in state_of(network).items()}


def state_of(network: nn.Module) -> State:
    """The weights of `network`, without BatchNorm's counters of batches."""
    return {name: t for name, t in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def check_state(state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], origin: str) -> None:
    """Raises UserError, naming `origin` and the weight, unless `state` has finite weights of just these `shapes`."""
    for name, shape in shapes.items():
        if name not in state:
            raise UserError(f"{origin}: the weight {name!r} is missing; is this a file for another network?")
        if tuple(state[name].shape) != shape:
            found, wanted = list(state[name].shape), list(shape)
            raise UserError(f"{origin}: the weight {name!r} has shape {found}; expected {wanted}")
        if not torch.isfinite(state[name]).all():
            raise UserError(f"{origin}: the weight {name!r} has values that are not finite; the file is damaged")
    unknown = sorted(set(state) - set(shapes))
    if unknown:
        raise UserError(f"{origin}: unknown weight {unknown[0]!r}; is this a file for another network?")


def build_subnetwork(config: SubnetworkConfig, state: Mapping[str, Tensor], origin: str) -> Subnetwork:
    """A subnetwork in evaluation mode with the weights `state`; UserError as of `check_state`."""
    shapes = expected_shapes(config)
    check_state(state, shapes, origin)
    network = Subnetwork(config)
    network.load_state_dict({name: state[name].float() for name in shapes}, strict=False)
    return network.eval()


def weights_digest(networks: Mapping[Name, nn.Module]) -> str:
    """sha256 over names, shapes and float32 values, the same from whatever file they were read."""
    digest = hashlib.sha256()
    for network in sorted(networks):
        for name, tensor in sorted(state_of(networks[network]).items()):
            digest.update(f"{network}.{name}{list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_weights(path: Path, networks: Mapping[Name, nn.Module], metadata: Mapping[str, str]) -> None:
    """Write the weights of `networks` as safetensors, whole or not at all; `metadata` goes into its header."""
    from safetensors.torch import save_file

    tensors = {
        f"{network}.{name}": tensor.detach().cpu().contiguous()
        for network in networks
        for name, tensor in state_of(networks[network]).items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=dict(metadata))


def read_safetensors(path: Path, network: str, most_mebibytes: float = MOST_MEBIBYTES) -> State:
    """The weights of one network in `path`; empty if the file has none of it.

    Raises UserError for a file that is not safetensors, is damaged or larger than `most_mebibytes`.
    """
    from safetensors import SafetensorError, safe_open

    prefix = f"{network}."
    try:
        refuse_larger(path, most_mebibytes)
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 - no iterator
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as safetensors: {error}") from None
