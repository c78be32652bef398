"""Processors that lack what this one may have."""

import pytest
import torch
from torch import Tensor

from avfusion.fusion import FusionNetwork


def without_bf16(monkeypatch: pytest.MonkeyPatch, variant: type[FusionNetwork]) -> None:
    """As where oneDNN has no bf16 LSTM: `variant` trains in float32 alone."""
    exact = variant.forward

    def forward(self: FusionNetwork, audio: Tensor, video: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("could not create a primitive descriptor. Run workload with ONEDNN_VERBOSE=all")
        return exact(self, audio, video)

    monkeypatch.setattr(variant, "forward", forward)
