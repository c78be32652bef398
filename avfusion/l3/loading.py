"""A configuration and a choice of weights -> subnetworks ready for use."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from avfusion.errors import UserError
from avfusion.l3.network import Subnetwork
from avfusion.l3.openl3_files import load_official
from avfusion.l3.presets import BRANCHES, Branch, L3Config
from avfusion.l3.untrained import untrained_subnetwork
from avfusion.l3.weights import build_subnetwork, read_safetensors, weights_digest

UNTRAINED = "untrained"
_SMALL_FRAMES = "a side below 224 pixels: scaled up to a shorter side of 256, values in [0, 1]"
_SHIPPED = Path(__file__).parent / "weights_demo" / "demo.safetensors"


@dataclass(frozen=True)
class LoadedNetworks:
    """Subnetworks in evaluation mode, and what is known of their weights."""

    networks: dict[Branch, Subnetwork]
    origins: dict[Branch, str]  # path, or "untrained"
    trained: bool

    @cached_property
    def digest(self) -> str:
        """sha256 of the weights, or `untrained`."""
        return weights_digest(self.networks) if self.trained else UNTRAINED

    def provenance(self, config: L3Config) -> dict[str, Any]:
        """What of an embedder's provenance is known of its networks and weights; `config` is theirs."""
        found: dict[str, Any] = {
            "name": config.preset,
            "preset": config.preset,
            "weights": self.digest,
            "trained": self.trained,
            "content_type": config.content_type,
        }
        if "audio" in self.networks:
            found |= {"input_repr": config.input_repr, "audio_size": config.audio.embedding_size}
        if "image" in self.networks:
            found["image_size"] = config.image.embedding_size
        if self.trained:
            found["weights_files"] = [str(Path(file).absolute()) for file in dict.fromkeys(self.origins.values())]
        if config.pictures == "openl3" and "image" in self.networks:
            found["small_frames"] = _SMALL_FRAMES
        return found


def load_networks(
    config: L3Config, weights: str | Path | None = None, branches: Sequence[Branch] = BRANCHES
) -> LoadedNetworks:
    """The subnetworks of `config` with the chosen weights.

    Args:
        weights: None for the preset's own (OpenL3's official ones; the demo's shipped ones, or
            seeded untrained ones while none are shipped), `untrained`, or a path: safetensors of
            either preset; for OpenL3 also Keras HDF5, a folder, or two files separated by a comma.
        branches: which subnetworks are wanted; the other's weights are not looked for.

    Raises:
        UserError: weights that cannot be found, read, or fitted into the network.
    """
    choice = None if weights is None else str(weights)
    shipped = _SHIPPED.is_file()
    if choice == UNTRAINED or (config.preset == "demo" and choice is None and not shipped):
        networks = {branch: untrained_subnetwork(config, branch) for branch in branches}
        return LoadedNetworks(networks, dict.fromkeys(branches, UNTRAINED), trained=False)
    if config.preset == "openl3":
        found = {branch: load_official(config, branch, choice) for branch in branches}
    else:
        path = _SHIPPED if choice is None else Path(choice)
        found = {branch: _from_safetensors(config, branch, path) for branch in branches}
    networks = {branch: network for branch, (network, _) in found.items()}
    return LoadedNetworks(networks, {m: origin for m, (_, origin) in found.items()}, trained=True)


def _from_safetensors(config: L3Config, branch: Branch, path: Path) -> tuple[Subnetwork, str]:
    """One of our own trained networks, from a file or from the only safetensors file of a folder."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if len(files) != 1 or not files[0].is_file():
        raise UserError(f"weights: {path.absolute()} is no safetensors file, nor a folder with exactly one")
    state = read_safetensors(files[0], branch)
    if not state:
        raise UserError(f"{files[0]} holds no {branch} network; was it saved by avfusion?")
    return build_subnetwork(config.subnetwork(branch), state, str(files[0])), str(files[0])
