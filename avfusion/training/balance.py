"""Balanced training: the modality that already knows the answers learns in smaller steps, until the other catches up.

Source: Peng et al., Balanced multimodal learning via on-the-fly gradient modulation (OGM-GE), arXiv 2203.15332. Two
things are otherwise here. There a gradient is made smaller, which Adam undoes, for it divides by the gradient's usual
size; here the step is. There a network's last layer is taken apart into modalities; here the other modality is set to
its mean, which can be done to any network.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import tanh

import torch
from torch import nn
from torch.optim import Optimizer

from avfusion.features import MODALITIES
from avfusion.training.augmentation import Batch, shares


class Balance:
    """Damps the steps of one modality's branch, by a `strength` of which 0 damps nothing.

    A branch is made of the parameters below submodules called `audio`, or `video` (see `FusionNetwork`).
    """

    def __init__(self, network: nn.Module, strength: float) -> None:
        self.network, self.strength = network, strength
        named = [(name, one) for name, one in network.named_parameters() if one.requires_grad]
        self.branches = {m: [one for name, one in named if m in name.split(".")] for m in MODALITIES}
        self.rest = [one for name, one in named if not set(MODALITIES) & set(name.split("."))]

    def groups(self) -> list[dict[str, list[nn.Parameter]]]:
        """The parameters as an optimiser takes them: a group for each modality, in order, and one for the rest."""
        return [{"params": group} for group in (*self.branches.values(), self.rest)]

    def factors(self, batch: Batch) -> dict[str, float]:
        """By modality how large its step is to be, in (0, 1]: 1 - tanh(strength * ratio) for the one ahead, else 1.

        The ratio is that of the two modalities' probabilities for the true classes, over the batch.
        """
        audio, video = self._true_class_scores(batch)
        ratios = {"audio": audio / video, "video": video / audio}
        return {name: 1 - tanh(self.strength * ratio) if ratio > 1 else 1.0 for name, ratio in ratios.items()}

    @contextmanager
    def damped(self, optimizer: Optimizer, batch: Batch) -> Iterator[None]:
        """For a step within this block: smaller for the modality ahead, and with noise as wide as its gradient.

        The noise keeps what a smaller step would take from the generalisation of stochastic gradient descent.
        """
        usual = [group["lr"] for group in optimizer.param_groups]
        factors = self.factors(batch)
        for group, name in zip(optimizer.param_groups, self.branches, strict=False):
            if (factor := factors[name]) < 1:
                group["lr"] *= factor
                for parameter in self.branches[name]:
                    if parameter.grad is not None:
                        parameter.grad += torch.randn_like(parameter.grad) * parameter.grad.std(correction=0)
        yield
        for group, rate in zip(optimizer.param_groups, usual, strict=True):
            group["lr"] = rate

    @torch.no_grad()
    def _true_class_scores(self, batch: Batch) -> tuple[float, float]:
        """Sum over the batch of the true class's probability, from the sound alone and from the picture alone."""
        self.network.eval()
        alone = (batch.audio, batch.video * 0), (batch.audio * 0, batch.video)  # padding (NaN) stays padding
        probabilities = [self.network(audio, video).float().softmax(1) for audio, video in alone]
        self.network.train()
        audio, video = (float((p * shares(batch.targets, p.shape[1])).sum()) for p in probabilities)
        return max(audio, 1e-12), max(video, 1e-12)
