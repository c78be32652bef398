"""Audio-visual correspondence (AVC): does this sound belong to this picture?

Source: Arandjelovic & Zisserman, "Look, Listen and Learn" (ICCV 2017): both embeddings, concatenated, through a layer
of 128 units into a two-way classifier. Shapes: B pictures or windows, D embedding size.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from avfusion.l3.network import Subnetwork
from avfusion.l3.presets import Branch, L3Config
from avfusion.l3.untrained import untrained_subnetwork
from avfusion.system.seeds import derive_seed

FUSION_UNITS = 128


class AVCNetwork(nn.Module):
    """Both subnetworks of a preset and the fusion classifier, started from seeded random weights."""

    def __init__(self, config: L3Config, seed: int) -> None:
        super().__init__()
        self.audio = untrained_subnetwork(config, "audio", seed)
        self.image = untrained_subnetwork(config, "image", seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed("avc", "fusion", seed))
            self.fuse = nn.Linear(config.audio.embedding_size + config.image.embedding_size, FUSION_UNITS)
            self.classify = nn.Linear(FUSION_UNITS, 2)

    @property
    def subnetworks(self) -> dict[Branch, Subnetwork]:
        """The two subnetworks, by branch: what an embedder needs."""
        return {"audio": self.audio, "image": self.image}

    def forward(self, spectrograms: Tensor, pictures: Tensor) -> Tensor:
        """Scores [B, B, 2] (no, yes) of every spectrogram [B, 1, F, T] with every picture [B, 3, H, W].

        The layer over the concatenation is the sum of a part for each branch, so all pairs cost little more than B.
        """
        audio, image = functional.relu(self.audio(spectrograms)), functional.relu(self.image(pictures))
        audio_weight, image_weight = torch.split(self.fuse.weight, [audio.shape[1], image.shape[1]], dim=1)
        heard = functional.linear(audio, audio_weight, self.fuse.bias)  # [B, units]
        seen = functional.linear(image, image_weight)
        return cast(Tensor, self.classify(functional.relu(heard[:, None] + seen[None])))


def avc_loss(scores: Tensor) -> Tensor:
    """Cross-entropy of all pairs [B, B, 2], positives (the diagonal) and negatives weighing the same."""
    same = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    losses = functional.cross_entropy(scores.flatten(0, 1), same.flatten().long(), reduction="none").view_as(same)
    return (losses[same].mean() + losses[~same].mean()) / 2


def avc_accuracy(scores: Tensor) -> float:
    """Share of right answers over all pairs [B, B, 2], positives and negatives weighing the same; chance is 0.5."""
    same = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    right = scores.argmax(-1).bool() == same
    return float((right[same].float().mean() + right[~same].float().mean()) / 2)
