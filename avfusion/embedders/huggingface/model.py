"""The part of a model that sees or hears, with its weights, as a network of one vector per input.

Its weights can go along with a classifier as one safetensors file, in whose header are the model's settings, so that
neither the hub nor the folder is needed again.
"""

import hashlib
import json
import math
import tempfile
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from avfusion.embedders.base import UNTRAINED
from avfusion.embedders.huggingface.hub import CONFIG, SETTINGS, commit_of, model_folder, weights_in
from avfusion.embedders.huggingface.networks import (
    Place,
    build,
    fill,
    loading,
    preparation,
    read,
    transformers_version,
)
from avfusion.errors import UserError
from avfusion.l3.runtime import Runner, check_precision, choose_precision, number_format
from avfusion.l3.weights import read_safetensors, save_weights, weights_digest
from avfusion.system.device import choose_device
from avfusion.system.files import refuse_larger

Settings = dict[str, str]

_HEADER, _NETWORK = "avfusion", "network"
_MOST_MEBIBYTES = 1  # of a file of settings


class Pooled(nn.Module):
    """A model's network -> its pooled output [B, D], or where it has none, the mean of its last hidden state."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network if dtype == torch.float32 else deepcopy(network).to(dtype)
        self.dtype = dtype
        config: Any = network.config
        self._fusing = bool(getattr(config, "enable_fusion", False))  # of CLAP: stretches beyond the window, if any

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs [B, ...] as the model's own preparation gives them."""
        more = {"is_longer": inputs.new_zeros(len(inputs), 1, dtype=torch.bool)} if self._fusing else {}
        outputs = self.network(inputs.to(self.dtype), **more)
        pooled: Tensor | None = getattr(outputs, "pooler_output", None)
        if pooled is None:
            hidden = outputs.last_hidden_state  # [B, tokens, D], or of convolutions [B, D, H, W]
            pooled = hidden.mean(dim=1) if hidden.ndim == 3 else hidden.mean(dim=(2, 3))
        return pooled.flatten(1)


@dataclass(frozen=True)
class Loaded:
    """A model's network in evaluation mode.

    Attributes:
        name: the embedder's, `hf:MODEL`.
        network: as it was loaded, float32.
        settings: what the model says of itself, by file.
        origin: where it came from: commit, sha256 of each file of weights, version of transformers.
        files: its weights; none for untrained ones.
        device, precision: where and how it computes, resolved ("float32" or "bf16").
        preparation: the model's own processor of pictures or sound.
    """

    name: str
    network: nn.Module
    settings: Settings
    origin: dict[str, Any]
    files: list[Path]
    device: torch.device
    precision: str
    preparation: Any = field(repr=False)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What an embedder's provenance says of any such model; see `avfusion.embedders.base`."""
        known: dict[str, Any] = {
            "name": self.name,
            "weights": weights_digest({_NETWORK: self.network}) if self.files else UNTRAINED,
            "trained": bool(self.files),
            "settings": hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest(),
            "precision": self.precision,
            "device": self.device.type,
            "origin": self.origin,
        }
        return known | ({"weights_files": [str(file) for file in self.files]} if self.files else {})

    def runner(self, batch_size: int) -> Runner:
        """The network ready to run."""
        return Runner(Pooled(self.network, number_format(self.precision)), self.device, batch_size)

    def save(self, path: Path) -> None:
        """Write network, settings and origin as one safetensors file, whole or not at all."""
        header = {_HEADER: json.dumps({"settings": self.settings, "origin": self.origin})}
        save_weights(path, {_NETWORK: self.network}, header)


def load_model(place: Place, model: str, weights: str | None, precision: str, device: str) -> Loaded:
    """The part of `model` for `audio` or `video`.

    Args:
        place: what it is for.
        model: a folder, or a name on the hub; see `hub.model_folder`.
        weights: None for the model's own, `untrained` for seeded random ones, a file that `Loaded.save` wrote, or the
            files of weights in a model's folder, with commas.
        precision: `float32`, `bf16` or `auto`.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        UserError: transformers is not installed; a model that cannot be had, is for something else, or lacks weights; a
            choice that there is none of, or that the device lacks.
    """
    name, chosen = f"hf:{model}", choose_device(device)
    numbers = choose_precision(precision, chosen)
    check_precision(numbers, chosen)
    version = transformers_version(name)
    file = None if weights in (None, UNTRAINED) else Path(str(weights).split(",")[0]).absolute()
    if file is not None and (header := _header(file)):
        settings, origin = header["settings"], header["origin"]
        with tempfile.TemporaryDirectory() as temporary, loading(name):
            for key, text in settings.items():
                (Path(temporary) / key).write_text(text, encoding="utf-8")
            network, prepare = build(place, name, Path(temporary)), preparation(place, Path(temporary))
            fill(network, read_safetensors(file, _NETWORK, math.inf), f"{name}, {file}")
        return Loaded(name, network, settings, origin, [file], chosen, numbers, prepare)
    trained = weights != UNTRAINED
    folder = file.parent if file is not None else model_folder(model, with_weights=trained)
    settings, files = _settings(folder), weights_in(folder) if trained else []
    if file is not None and file not in [path.absolute() for path in files]:
        raise UserError(
            f"weights={file}: not what {folder} loads; expected {files[0]}, or a file that was saved with a model here"
        )
    origin = {"commit": commit_of(folder), "files": {}, "transformers": version}
    with loading(name):
        network = (read if trained else build)(place, name, folder)
        origin["files"] = {path.name: _sha256(path) for path in files}
        prepare = preparation(place, folder)
    return Loaded(name, network, settings, origin, files, chosen, numbers, prepare)


def _settings(folder: Path) -> Settings:
    found = [folder / name for name in SETTINGS if (folder / name).is_file()]
    for file in found:
        refuse_larger(file, _MOST_MEBIBYTES)
    return {file.name: file.read_text(encoding="utf-8") for file in found}


def _header(file: Path) -> dict[str, Any]:
    """What `Loaded.save` wrote beside the weights; nothing for a file of somebody else's."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            header: dict[str, Any] = json.loads((opened.metadata() or {}).get(_HEADER, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as safetensors: {error}") from None
    known = {name: text for name, text in header.get("settings", {}).items() if name in SETTINGS}
    return {"settings": known, "origin": header.get("origin", {})} if CONFIG in known else {}


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
