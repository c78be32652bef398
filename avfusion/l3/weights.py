"""The weights of a subnetwork as a checked state, their digest, and safetensors files.

A safetensors file holds one or both branches; names are `audio.` or `image.` and then the names of
`Subnetwork.state_dict()`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from avfusion.errors import UserError
from avfusion.l3.network import Subnetwork
from avfusion.l3.presets import Branch, SubnetworkConfig
from avfusion.system.files import refuse_larger, replacing

MOST_MEBIBYTES = 128
"""Size of a file of weights; both of OpenL3's networks take 36."""

State = dict[str, Tensor]


def expected_shapes(config: SubnetworkConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight of a subnetwork, in network order."""
    with torch.device("meta"):
        network = Subnetwork(config)
    return {name: tuple(tensor.shape) for name, tensor in state_of(network).items()}


def state_of(network: Subnetwork) -> State:
    """The weights of `network`, without BatchNorm's counters of batches."""
    return {name: t for name, t in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def build_subnetwork(config: SubnetworkConfig, state: Mapping[str, Tensor], origin: str) -> Subnetwork:
    """A subnetwork in evaluation mode with the weights `state`.

    Raises UserError, naming `origin` and the weight, when one is missing, has another shape, is not
    finite, or is not known.
    """
    shapes = expected_shapes(config)
    for name, shape in shapes.items():
        if name not in state:
            raise UserError(f"{origin}: the weight {name!r} is missing; is this a file for another network?")
        found = tuple(state[name].shape)
        if found != shape:
            raise UserError(f"{origin}: the weight {name!r} has shape {found}; expected {shape}")
        if not torch.isfinite(state[name]).all():
            raise UserError(f"{origin}: the weight {name!r} has values that are not finite; the file is damaged")
    unknown = sorted(set(state) - set(shapes))
    if unknown:
        raise UserError(f"{origin}: unknown weight {unknown[0]!r}; is this a file for another network?")
    network = Subnetwork(config)
    network.load_state_dict({name: state[name].float() for name in shapes}, strict=False)
    return network.eval()


def weights_digest(networks: Mapping[Branch, Subnetwork]) -> str:
    """sha256 over names, shapes and float32 values, the same from whatever file they were read."""
    digest = hashlib.sha256()
    for branch in sorted(networks):
        for name, tensor in sorted(state_of(networks[branch]).items()):
            digest.update(f"{branch}.{name}{list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_weights(path: Path, networks: Mapping[Branch, Subnetwork], metadata: Mapping[str, str]) -> None:
    """Write the weights of `networks` as safetensors, whole or not at all; `metadata` goes into its header."""
    from safetensors.torch import save_file

    tensors = {
        f"{branch}.{name}": tensor.detach().cpu().contiguous()
        for branch, network in networks.items()
        for name, tensor in state_of(network).items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=dict(metadata))


def read_safetensors(path: Path, branch: Branch) -> State:
    """The weights of one branch in `path`; empty if the file has none of that branch.

    Raises UserError for a file that is not safetensors, is damaged or larger than `MOST_MEBIBYTES`.
    """
    from safetensors import SafetensorError, safe_open

    prefix = f"{branch}."
    try:
        refuse_larger(path, MOST_MEBIBYTES)
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 - no iterator
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as safetensors: {error}") from None
