"""Evidential fusion: each modality says how much it knows, and Dempster's rule joins what they know.

Shapes: B clips, C classes. Evidence e [B, C] >= 0 stands for a Dirichlet distribution with parameters e + 1. With S
their sum, the probabilities are its mean, (e + 1) / S, and the uncertainty is C / S, in (0, 1].
"""

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from avfusion.fusion.base import FusionNetwork, Shape, Stage
from avfusion.fusion.blocks import BRANCH, scoring_branch
from avfusion.fusion.hyperparameters import Whole


class EvidentialFusion(FusionNetwork):
    """Branches as in late fusion, their softplus the evidence; joined by Dempster's rule, and trusted by uncertainty.

    The loss is the sum over sound, picture and both of the expected cross-entropy under the Dirichlet distribution, and
    of its divergence from knowing nothing once the evidence for the true class is taken away, whose weight grows from
    1 / `annealing` to 1 in the first `annealing` epochs.
    """

    id = "evidential"
    title = "evidential fusion"
    source = "Han et al., Trusted multi-view classification with dynamic evidential fusion, arXiv 2204.11423"
    order = 16
    hyperparameters: ClassVar = {**BRANCH, "annealing": Whole(10, low=1, high=100_000, search=(10, 50, 1000))}
    diagnosed: ClassVar = {
        "uncertainty": "uncertainty of both together: 1 knows nothing",
        "uncertainty_audio": "uncertainty of the sound: 1 knows nothing",
        "uncertainty_video": "uncertainty of the picture: 1 knows nothing",
    }

    def __init__(self, shape: Shape, *, annealing: int, **branch: Any) -> None:
        super().__init__()
        self.annealing = annealing
        self.audio = scoring_branch(shape.audio_dim, shape.n_classes, **branch)
        self.video = scoring_branch(shape.video_dim, shape.n_classes, **branch)

    def evidence(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Evidence [B, C] of the sound, of the picture and of both."""
        sound, picture = (
            nn.functional.softplus(branch(frames.mean(1)).float())
            for branch, frames in ((self.audio, audio), (self.video, video))
        )
        return sound, picture, combined(sound, picture)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Log-probabilities [B, C]; see `FusionNetwork.forward`."""
        return log_probabilities(self.evidence(audio, video)[-1])

    def stages(self) -> Iterator[Stage]:
        """One, with the loss of evidence."""
        yield Stage("", self, loss=self.loss)

    def loss(self, audio: Tensor, video: Tensor, targets: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities and loss; see `avfusion.fusion.base.Loss`."""
        evidence = self.evidence(audio, video)
        shares = targets if targets.ndim == 2 else nn.functional.one_hot(targets, evidence[0].shape[1])
        weight = min(1.0, epoch / self.annealing)
        losses = [evidence_loss(one, shares.float(), weight) for one in evidence]
        return log_probabilities(evidence[-1]), torch.stack(losses).sum()

    def diagnostics(self, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
        """How little is known of each clip; see `FusionNetwork.diagnostics`."""
        sound, picture, both = (uncertainty(one) for one in self.evidence(audio, video))
        return {"uncertainty": both, "uncertainty_audio": sound, "uncertainty_video": picture}


def combined(first: Tensor, second: Tensor) -> Tensor:
    """The evidence [B, C] of two sources by Dempster's rule for beliefs e / S and uncertainty C / S.

    The rule's b = (b1 b2 + b1 u2 + b2 u1) / k and u = u1 u2 / k, with k what the sources agree on, come to this in
    evidence b C / u.
    """
    return first + second + first * second / first.shape[1]


def uncertainty(evidence: Tensor) -> Tensor:
    """C / S of each clip, [B] in (0, 1]."""
    return evidence.shape[1] / (evidence + 1).sum(1)


def log_probabilities(evidence: Tensor) -> Tensor:
    """Logarithm of the mean of the Dirichlet distribution, [B, C]."""
    parameters = evidence + 1
    return parameters.log() - parameters.sum(1, keepdim=True).log()


def evidence_loss(evidence: Tensor, shares: Tensor, weight: float) -> Tensor:
    """Mean over the clips of the expected cross-entropy, and `weight` of the divergence; `shares` [B, C] sum to 1."""
    parameters = evidence + 1
    expected = (shares * (parameters.sum(1, keepdim=True).digamma() - parameters.digamma())).sum(1)
    return (expected + weight * divergence_from_uniform(shares + (1 - shares) * parameters)).mean()


def divergence_from_uniform(parameters: Tensor) -> Tensor:
    """Kullback-Leibler divergence [B] of Dirichlet distributions with these parameters [B, C] from the uniform one."""
    total = parameters.sum(1)
    normaliser = total.lgamma() - math.lgamma(parameters.shape[1]) - parameters.lgamma().sum(1)
    return normaliser + ((parameters - 1) * (parameters.digamma() - total.digamma()[:, None])).sum(1)
