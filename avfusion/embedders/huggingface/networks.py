"""The part of a model that sees or hears, as transformers builds and reads it; and what prepares its inputs.

Code that comes with a model is never run, and nothing is read but safetensors and JSON.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from avfusion.errors import UserError
from avfusion.l3.weights import State

Place = Literal["audio", "video"]

_PARTS = {"audio": "audio_config", "video": "vision_config"}
_TAKES = {"audio": "audio", "video": "image"}  # as transformers calls the modalities
_NOUNS = {"audio": "sound", "image": "pictures"}
_EXAMPLES = {"audio": "hf:MIT/ast-finetuned-audioset-10-10-0.4593", "video": "hf:google/siglip2-base-patch16-256"}
_WHOLE = {r"^audio_model\.": ""}  # in files of whole models; their class for sound alone does not know it
_OFFLINE = {"local_files_only": True, "trust_remote_code": False}


def transformers_version(name: str) -> str:
    """Raises UserError, for the embedder `name`, if transformers is not installed."""
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            f"{name} needs the package transformers ({error}): pip install -e '.[transformers]' in avfusion's clone"
        ) from None
    return str(transformers.__version__)


@contextmanager
def loading(name: str) -> Iterator[None]:
    """transformers' reports and bars are silent here, and what it cannot do becomes a UserError of one line."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # transformers raises anything for files that do not fit
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{name} cannot be loaded: {type(error).__name__}: {reason}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _part(place: Place, name: str, folder: Path) -> tuple[Any, Any]:
    """Class and configuration of the part of a model for `place`; UserError for a model of something else."""
    import transformers

    whole: Any = transformers.AutoConfig.from_pretrained(folder, **_OFFLINE)
    config = getattr(whole, _PARTS[place], None) or whole
    found: Any = getattr(transformers, type(config).__name__.removesuffix("Config") + "Model", None)
    takes = getattr(found, "input_modalities", ())
    takes = (takes,) if isinstance(takes, str) else takes
    if _TAKES[place] not in takes:
        words = " and ".join(_NOUNS.get(kind, kind) for kind in takes) or "neither pictures nor sound"
        raise UserError(
            f"{name} takes {words} (its type is {whole.model_type}); expected a model of {_NOUNS[_TAKES[place]]}, such "
            f"as {_EXAMPLES[place]}"
        )
    if getattr(config, "mask_ratio", 0):
        raise UserError(f"{name} hides a random part of each input from itself (its type is {whole.model_type})")
    return found, config


def build(place: Place, name: str, folder: Path) -> nn.Module:
    """The network with seeded random weights."""
    found, config = _part(place, name, folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _encoder(found(config))


def read(place: Place, name: str, folder: Path) -> nn.Module:
    """The network with the weights in `folder`."""
    found, config = _part(place, name, folder)
    network, report = found.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        key_mapping=_WHOLE if place == "audio" else None,
        use_safetensors=True,
        output_loading_info=True,
        **_OFFLINE,
    )
    _check_missing(network, sorted(report["missing_keys"]), name)
    return _encoder(network)


def fill(network: nn.Module, state: State, origin: str) -> None:
    """Give `network` weights that `state_of` took from one like it; UserError, naming `origin`, if some are missing."""
    missing = network.load_state_dict(state, strict=False).missing_keys
    _check_missing(network, [key for key in missing if not key.endswith("num_batches_tracked")], origin)


def _check_missing(network: Any, missing: list[str], name: str) -> None:
    """A pooling layer that was never trained goes; UserError for any other weights that are not there."""
    if missing and all(key.startswith("pooler.") for key in missing):
        network.pooler = None
    elif missing:
        raise UserError(f"{name}: {len(missing)} weights are missing, {missing[0]} first; is it the whole model?")


def _encoder(network: Any) -> nn.Module:
    """Of a network that also writes what it heard, the half that listens."""
    encoder: nn.Module = network.get_encoder() if getattr(network.config, "is_encoder_decoder", False) else network
    return encoder.eval().requires_grad_(False)


def preparation(place: Place, folder: Path) -> Any:
    """The model's own processor of pictures, or extractor of features of sound."""
    from transformers import AutoFeatureExtractor, AutoImageProcessor

    if place == "audio":
        return AutoFeatureExtractor.from_pretrained(folder, **_OFFLINE)
    # by name: torchvision, where it is installed, would give other values
    return AutoImageProcessor.from_pretrained(folder, backend="pil", **_OFFLINE)
