"""Whether this machine can train in bf16: found out by trying, before any training."""

import logging
from collections.abc import Iterable, Mapping

import torch

from avfusion.fusion import FusionNetwork, Shape, build
from avfusion.fusion.hyperparameters import Value, resolve
from avfusion.system.device import multiplies_bf16, refusing_bf16
from avfusion.training.fit import Examples, fit_stages
from avfusion.training.recipe import RECIPE

_SHAPE = Shape(audio_dim=4, video_dim=4, n_frames=2, n_classes=2)
_log = logging.getLogger(__name__)


def check_precision(trainings: Iterable[tuple[type[FusionNetwork], Mapping[str, Value]]], device: torch.device) -> None:
    """Try one step of every variant that `trainings`, pairs with its values, has with precision=bf16.

    Raises `UserError` for one that `device` cannot train so: libraries lack some layers on some processors (oneDNN has
    no bf16 LSTM without AVX-512). Warns where bf16 works but is slow.
    """
    variants = dict.fromkeys(variant for variant, values in trainings if values["precision"] == "bf16")
    for variant in variants:
        with refusing_bf16(f"train {variant.id}", device):
            _train_a_step(variant, device)
    if variants and not multiplies_bf16(device):
        _log.warning("precision=bf16: this hardware does not multiply bf16, float32 would be faster")


def _train_a_step(variant: type[FusionNetwork], device: torch.device) -> None:
    """Of each stage, by the default hyperparameters: sizes do not decide which layers there are."""
    recipe = resolve(RECIPE, {"epochs": "1", "batch_size": "4", "precision": "bf16"})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(variant, _SHAPE, resolve(variant.hyperparameters, {})).to(device)
        audio, video = torch.randn(2, 4, _SHAPE.n_frames, _SHAPE.audio_dim).unbind()
    examples = Examples(audio, video, torch.arange(4) % 2).to(device)
    for _ in fit_stages(network, examples, examples, recipe, 0):
        pass
