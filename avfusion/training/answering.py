"""What a trained variant answers for the clips of a split.

Shapes: n clips, b of a batch, T frames, D feature dimensions, C classes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avfusion.features import MODALITIES
from avfusion.fusion import FusionNetwork
from avfusion.scoring.metrics import log_loss
from avfusion.scoring.predictions import Predictions
from avfusion.scoring.seconds import per_second
from avfusion.training.fit import Examples
from avfusion.training.scene_classifier import SceneClassifier
from avfusion.training.split_features import VALIDATION, SplitFeatures


def examples(data: SplitFeatures, variant: type[FusionNetwork], split: str) -> tuple[Examples, int]:
    """The clips of `split` as `variant` takes them in training, and how many of them had to be cut or continued."""
    return (data.pooled(split), 0) if variant.pools_time else data.sequences(split, padded=variant.masks_padding)


@torch.no_grad()
def predictions(data: SplitFeatures, split: str, classifier: SceneClassifier, only: str | None = None) -> Predictions:
    """The classifier's answers for `split`, clip lengths as they are wherever the variant takes any length.

    From one modality alone if `only` it is to be heard: the other is then its mean.
    """
    network = classifier.network.eval()
    answers = []
    for audio, video in _batches(data, split, network):
        heard = (audio if only != "video" else audio * 0, video if only != "audio" else video * 0)
        answers.append(network.answers(*heard))
    return as_predictions(data, data.rows(split), answers)


def as_predictions(
    data: SplitFeatures, rows: NDArray[np.intp], answers: Iterable[tuple[Tensor, Tensor]]
) -> Predictions:
    """What a classifier answered for the clips `rows`, in batches of log-probabilities [b, C] and decisions [b]."""
    log_probabilities, decisions = (torch.cat(column) for column in zip(*answers, strict=True))
    ids = list(data.store.clips["id"].iloc[rows])
    found = Predictions.from_scores(ids, data.classes, data.labels[rows], log_probabilities.double().numpy())
    return replace(found, decisions=decisions.numpy())


def better_alone(data: SplitFeatures, classifier: SceneClassifier) -> tuple[str, ...]:
    """The modalities from which alone the classifier of a fusion answers better than its companion.

    Better is the lower log loss on validation clips that have both; where there is no companion it is better too.
    """
    both = set(data.needing(MODALITIES).ids(VALIDATION))

    def loss(one: SceneClassifier, only: str) -> float:
        answers = predictions(data.needing(one.network.modalities), VALIDATION, one, only)
        return log_loss(answers.take(np.flatnonzero([clip in both for clip in answers.ids])))

    def better(modality: str) -> bool:
        companions = [one for one in classifier.companions.values() if one.network.modalities == (modality,)]
        return all(loss(classifier, modality) < loss(one, modality) for one in companions)

    return tuple(filter(better, MODALITIES))


@torch.no_grad()
def diagnostics(data: SplitFeatures, split: str, classifier: SceneClassifier) -> dict[str, NDArray[np.float64]]:
    """What else the classifier says of the clips of `split`, in order."""
    network = classifier.network.eval()
    if not network.diagnosed:
        return {}
    found = [network.diagnostics(audio, video) for audio, video in _batches(data, split, network)]
    return {name: torch.cat([batch[name] for batch in found]).double().numpy() for name in network.diagnosed}


@torch.no_grad()
def predictions_by_second(data: SplitFeatures, split: str, classifier: SceneClassifier) -> Predictions:
    """The classifier's answers to single frames, ten of each clip of `split`."""
    network, rows = classifier.network.eval(), data.rows(split)
    frames = [data.second_frames(int(row)) for row in rows]  # each a pair [10, 1, D]
    answers = [network.answers(audio, video)[0] for audio, video in frames]
    log_probabilities = torch.stack(answers).double().numpy()
    return per_second(data.ids(split), data.classes, data.labels[rows], log_probabilities)


def _batches(
    data: SplitFeatures, split: str, network: FusionNetwork, size: int = 256
) -> Iterator[tuple[Tensor, Tensor]]:
    """Standardised audio and video [b, T, D] of the clips of `split`, in order."""
    if network.any_length and not network.pools_time:
        yield from (data.clip(int(row)) for row in data.rows(split))
    else:
        clips, _ = examples(data, type(network), split)
        yield from zip(torch.split(clips.audio, size), torch.split(clips.video, size), strict=True)
