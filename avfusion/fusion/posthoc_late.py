"""Late fusion without retraining: two unimodal models, calibrated, and their probabilities combined."""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from avfusion.fusion.base import FusionNetwork, Shape, Stage
from avfusion.fusion.blocks import EMBED_AND_CLASSIFY
from avfusion.fusion.hyperparameters import Choice, Real
from avfusion.fusion.unimodal import AudioOnly, VideoOnly
from avfusion.scoring.calibration import best_temperature, best_weights

RULES = ("product", "mean", "alpha", "weighted")


class PosthocLate(FusionNetwork):
    """`audio_only` and `video_only`, each temperature-scaled on validation (Guo et al., On Calibration, ICML 2017).

    `rule` combines the distributions: `product` (renormalised), `mean`, or `alpha`: (1 - alpha) audio + alpha video.
    `weighted` is a product too, but its temperatures are chosen for it and not for each network by itself: they are 1 /
    weight of the product's weights that `best_weights` finds on validation.
    """

    id = "posthoc_late"
    title = "post-hoc late fusion"
    source = "combination of classifiers after training; temperatures: Guo et al. 2017"
    order = 10
    cannot_use: ClassVar = dict.fromkeys(("modality_dropout", "balance"), "its modalities are trained apart")
    hyperparameters: ClassVar = {
        **EMBED_AND_CLASSIFY,
        "rule": Choice("product", RULES, search=RULES),
        "alpha": Real(0.5, low=0.0, high=1.0, search=(0.1, 0.9)),
    }
    temperatures: Tensor

    def __init__(self, shape: Shape, *, rule: str, alpha: float, **unimodal: Any) -> None:
        super().__init__()
        self.rule = rule
        self.alpha = {"mean": 0.5}.get(rule, alpha)
        self.audio = AudioOnly(shape, **unimodal)
        self.video = VideoOnly(shape, **unimodal)
        self.register_buffer("temperatures", torch.ones(2))

    def stages(self) -> Iterator[Stage]:
        """Each unimodal network by itself; there is no stage in which both are trained."""
        yield Stage("audio", self.audio)
        yield Stage("video", self.video)

    @torch.no_grad()
    def calibrate(self, audio: Tensor, video: Tensor, labels: Tensor) -> None:
        """Temperatures with the lowest validation log loss: of each network, or of the weighted product."""
        self.eval()
        if self.rule == "weighted":
            alone = [torch.log_softmax(network(audio, video), 1) for network in (self.audio, self.video)]
            self.temperatures.copy_(1 / torch.tensor(best_weights(alone, labels)))
            return
        for position, network in enumerate((self.audio, self.video)):
            self.temperatures[position] = best_temperature(network(audio, video), labels)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Log-probabilities [B, C], up to a constant per clip for `product`; see `FusionNetwork.forward`."""
        sound = torch.log_softmax(self.audio(audio, video) / self.temperatures[0], 1)
        picture = torch.log_softmax(self.video(audio, video) / self.temperatures[1], 1)
        if self.rule in ("product", "weighted"):
            return sound + picture
        weights = torch.tensor([1 - self.alpha, self.alpha], device=sound.device).log()
        return torch.logaddexp(sound + weights[0], picture + weights[1])
