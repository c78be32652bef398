"""A configuration and a choice of weights -> subnetworks ready for use."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avfusion.errors import UserError
from avfusion.l3.network import Subnetwork
from avfusion.l3.openl3_files import load_official
from avfusion.l3.presets import MODALITIES, L3Config, Modality
from avfusion.l3.untrained import untrained_subnetwork
from avfusion.l3.weights import build_subnetwork, read_safetensors, weights_digest

UNTRAINED = "untrained"
_SHIPPED = Path(__file__).parent / "weights_demo" / "demo.safetensors"


@dataclass(frozen=True)
class LoadedNetworks:
    """Subnetworks in evaluation mode, and what is known of their weights."""

    networks: dict[Modality, Subnetwork]
    origins: dict[Modality, str]  # path, or "untrained"
    trained: bool

    @property
    def digest(self) -> str:
        """sha256 of the weights, or `untrained`."""
        return weights_digest(self.networks) if self.trained else UNTRAINED


def load_networks(
    config: L3Config, weights: str | Path | None = None, modalities: Sequence[Modality] = MODALITIES
) -> LoadedNetworks:
    """The subnetworks of `config` with the chosen weights.

    Args:
        weights: None for the preset's own (OpenL3's official ones; the demo's shipped ones, or
            seeded untrained ones while none are shipped), `untrained`, or a path: safetensors of
            either preset; for OpenL3 also Keras HDF5, a folder, or two files separated by a comma.
        modalities: which subnetworks are wanted; the other's weights are not looked for.

    Raises:
        UserError: weights that cannot be found, read, or fitted into the network.
    """
    choice = None if weights is None else str(weights)
    shipped = _SHIPPED.is_file()
    if choice == UNTRAINED or (config.preset == "demo" and choice is None and not shipped):
        networks = {modality: untrained_subnetwork(config, modality) for modality in modalities}
        return LoadedNetworks(networks, dict.fromkeys(modalities, UNTRAINED), trained=False)
    if config.preset == "openl3":
        found = {modality: load_official(config, modality, choice) for modality in modalities}
    else:
        path = _SHIPPED if choice is None else Path(choice)
        found = {modality: _from_safetensors(config, modality, path) for modality in modalities}
    networks = {modality: network for modality, (network, _) in found.items()}
    return LoadedNetworks(networks, {m: origin for m, (_, origin) in found.items()}, trained=True)


def _from_safetensors(config: L3Config, modality: Modality, path: Path) -> tuple[Subnetwork, str]:
    """One of our own trained networks, from a file or from the only safetensors file of a folder."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if len(files) != 1 or not files[0].is_file():
        raise UserError(f"weights: {path.absolute()} is no safetensors file, nor a folder with exactly one")
    state = read_safetensors(files[0], modality)
    if not state:
        raise UserError(f"{files[0]} holds no {modality} network; was it saved by avfusion?")
    return build_subnetwork(config.subnetwork(modality), state, str(files[0])), str(files[0])
