"""A network that comes with the package, loaded: its weights, where it computes, and what is known of both."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from avfusion.embedders.base import UNTRAINED
from avfusion.embedders.pretrained.layers import folded
from avfusion.embedders.pretrained.weights import load_weights
from avfusion.l3.runtime import Runner, check_precision, choose_precision, number_format
from avfusion.l3.weights import save_weights, weights_digest
from avfusion.system.device import choose_device

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Loaded(Generic[Network]):
    """A network in evaluation mode.

    Attributes:
        name: of the network, here and in weight files.
        network: as it was loaded, float32.
        file: its weights; None for untrained ones.
        device, precision: where and how it computes, resolved ("float32" or "bf16").
        batch_size: inputs of a call on a processor.
    """

    name: str
    network: Network
    file: Path | None
    device: torch.device
    precision: str
    batch_size: int

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What an embedder's provenance says of any such network; see `avfusion.embedders.base`."""
        known: dict[str, Any] = {
            "name": self.name,
            "weights": weights_digest({self.name: self.network}) if self.file else UNTRAINED,
            "trained": self.file is not None,
            "precision": self.precision,
            "device": self.device.type,
        }
        return known | ({"weights_files": [str(self.file.absolute())]} if self.file else {})

    @cached_property
    def runner(self) -> Runner:
        """The network folded, ready to run; made when first needed, since who only prepares has no use for it."""
        return Runner(folded(self.network, number_format(self.precision)), self.device, self.batch_size)

    def save(self, path: Path) -> None:
        """Write the weights as a safetensors file, whole or not at all."""
        save_weights(path, {self.name: self.network}, {})


def load_pretrained(
    name: str,
    build: Callable[[], Network],
    untrained: Callable[[], Network],
    shipped: Path,
    *,
    weights: str | None,
    precision: str,
    device: str,
    batch_size: int,
) -> Loaded[Network]:
    """The network `name`: None takes the `shipped` weights, `untrained` seeded random ones, a path a safetensors file.

    Raises UserError for weights that cannot be had, unknown choices, and a precision that the device lacks.
    """
    chosen = choose_device(device)
    numbers = choose_precision(precision, chosen)
    check_precision(numbers, chosen)
    if weights == UNTRAINED:
        return Loaded(name, untrained(), None, chosen, numbers, batch_size)
    network, file = build(), shipped if weights is None else Path(weights)
    load_weights(network, name, file)
    return Loaded(name, network, file, chosen, numbers, batch_size)
