"""The scene of each second of a clip, and how much of it each modality decides.

T frames of a clip, S its seconds, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from avfusion.errors import UserError
from avfusion.features import MODALITIES
from avfusion.serving.answers import Features, basis, batch, class_column, present, responsible, scores
from avfusion.training.classifier import Classifier

BATCH = 256
"""Seconds that are scored at a time."""


@dataclass(frozen=True)
class Timeline:
    """Answers second by second.

    Attributes:
        classes: [C] names.
        seconds: [S] where each second begins.
        probabilities: [S, C] in [0, 1], rows sum to 1.
        decisions: [S] the winning class.
        shares: per modality [S], in [-1, 1]: the probability of the winning class, minus the probability that it has
            when that modality is replaced by its training mean. Positive: the modality speaks for the answer; 0: it
            adds nothing to what an average clip's would do; negative: it speaks against it. Not a number where the clip
            lacks the modality.
    """

    classes: tuple[str, ...]
    seconds: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    decisions: NDArray[np.int64]
    shares: dict[str, NDArray[np.float64]]

    def table(self) -> pd.DataFrame:
        """One row per second: second, scene, probability, audio_share, video_share, `probability/CLASS` per class."""
        rows = np.arange(len(self.seconds))
        leading = pd.DataFrame(
            {
                "second": self.seconds,
                "scene": [self.classes[decision] for decision in self.decisions],
                "probability": self.probabilities[rows, self.decisions],
                **{f"{modality}_share": share for modality, share in self.shares.items()},
            }
        )
        by_class = pd.DataFrame(self.probabilities, columns=[class_column(name) for name in self.classes])
        return pd.concat([leading, by_class], axis=1)


def make_timeline(classifier: Classifier, features: Features, steps: Mapping[str, float]) -> Timeline:
    """The timeline of a clip by `classifier` or its companion; `steps` are the seconds between frames, by modality.

    The moments are those of the sound, or of the pictures where nobody listens to it. Second s is answered by the
    moments in [s, s + 1) alone, as a clip of its own (the 1-s protocol); where moments are further apart than a second,
    some seconds are left out. Raises `UserError` as `responsible` and `scores` do.
    """
    having = present(features)
    chosen = responsible(classifier, having)
    step = steps[basis(chosen, features)[0]]
    if step <= 0:
        raise UserError(f"a timeline needs the seconds between two moments, above 0; got {step:g}")
    audio, video = chosen.pair(**batch(chosen, features))
    whole = {"audio": audio, "video": video}
    replaced = {name: {**whole, name: chosen.mean_frame(name).expand_as(whole[name])} for name in having}
    begins = np.floor(np.arange(whole["audio"].shape[1]) * step + 1e-6).astype(np.int64)
    seconds, lengths = np.unique(begins, return_counts=True)
    starts = np.cumsum(lengths) - lengths
    probabilities, decisions = _by_second(chosen, whole, starts, lengths)
    rows = np.arange(len(seconds))
    shares: dict[str, NDArray[np.float64]] = {name: np.full(len(seconds), np.nan) for name in MODALITIES}
    for name, changed in replaced.items():
        without, _ = _by_second(chosen, changed, starts, lengths)
        shares[name] = probabilities[rows, decisions] - without[rows, decisions]
    return Timeline(chosen.description.classes, seconds, probabilities, decisions, shares)


def _by_second(
    classifier: Classifier, clip: dict[str, Tensor], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities [S, C] and decisions [S]; seconds of the same number of moments are scored together."""
    n_seconds = len(starts)
    probabilities = np.empty((n_seconds, len(classifier.description.classes)))
    decisions = np.empty(n_seconds, np.int64)
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        for chunk in np.array_split(same, -(-len(same) // BATCH)):
            moments = torch.from_numpy(starts[chunk][:, None] + np.arange(length))  # [b, length]
            pieces = {name: frames[0][moments] for name, frames in clip.items()}
            probabilities[chunk], decisions[chunk] = scores(classifier, pieces)
    return probabilities, decisions
