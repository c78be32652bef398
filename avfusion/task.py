"""A feature store made ready to learn from: labels, splits, standardisation, tensors.

Every variant and seed sees the same splits, so that results are compared on the same clips.
Shapes: n clips of a split, T frames, D feature dimension.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avfusion.datasets.splits import assign_splits
from avfusion.errors import UserError
from avfusion.features import FeatureStore, Modality
from avfusion.fusion import Shape
from avfusion.fusion.base import to_length
from avfusion.standardize import Moments, Standardize, clip_moments, global_mean_std
from avfusion.training import Examples

MODALITIES: tuple[Modality, ...] = ("audio", "video")
TRAIN, VALIDATION, TEST = "train", "val", "test"


@dataclass
class Task:
    """Classify the clips of `store`; `splits` [N] says train, val or test for each, whole locations together.

    Raises `UserError` if a location or a clip is in two splits, or if a class lacks the locations to make splits.
    """

    store: FeatureStore
    splits: NDArray[np.str_] = field(init=False)
    labels: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        clips = self.store.clips
        self.splits = assign_splits(clips)
        index = {name: number for number, name in enumerate(self.classes)}
        self.labels = np.array([index[label] for label in clips["label"]], np.int64)

    @property
    def classes(self) -> tuple[str, ...]:
        """[C] class names in alphabetical order; the index is the label."""
        return self.store.classes

    def rows(self, split: str) -> NDArray[np.intp]:
        """Row numbers of the clips of `split`, in the store's order."""
        return np.flatnonzero(self.splits == split)

    def ids(self, split: str) -> tuple[str, ...]:
        """Clip ids of `split`, in the order of `rows`."""
        return tuple(self.store.clips["id"].iloc[self.rows(split)])

    @cached_property
    def n_frames(self) -> int:
        """The commonest number of frames of a training clip."""
        counts = self.store.clips["audio_frames"].to_numpy()[self.rows(TRAIN)]
        return int(np.bincount(counts).argmax())

    @cached_property
    def shape(self) -> Shape:
        """What a network for this task must fit."""
        return Shape(self.store.audio.shape[1], self.store.video.shape[1], self.n_frames, len(self.classes))

    @cached_property
    def moments(self) -> dict[str, Moments]:
        """Mean and mean square of every clip's features, per modality: read once, used by all variants."""
        n_clips = len(self.store.clips)
        return {m: clip_moments(self.store.frames(m, row) for row in range(n_clips)) for m in MODALITIES}

    @cached_property
    def standardize(self) -> dict[str, Standardize]:
        """Standardisation by all frames of the training clips, per modality."""
        train = self.rows(TRAIN)
        return {m: Standardize(*global_mean_std(self.moments[m], train)) for m in MODALITIES}

    def pooled(self, split: str) -> Examples:
        """Standardised means over time, as clips of one frame: audio and video [n, 1, D].

        Standardising is affine, so the mean of standardised frames is the standardised mean.
        """
        rows = self.rows(split)
        audio, video = (
            self.standardize[m](torch.from_numpy(self.moments[m].mean[rows].astype(np.float32))[:, None])
            for m in MODALITIES
        )
        return Examples(audio, video, torch.from_numpy(self.labels[rows]))

    def sequences(self, split: str) -> tuple[Examples, int]:
        """Standardised frames, audio and video [n, n_frames, D], and how many clips had another length.

        A longer clip is cut at the end, a shorter one repeats its last frame.
        """
        rows = self.rows(split)
        lengths = self.store.clips["audio_frames"].to_numpy()[rows]
        audio, video = (self._stacked(m, rows) for m in MODALITIES)
        return Examples(audio, video, torch.from_numpy(self.labels[rows])), int((lengths != self.n_frames).sum())

    def clip(self, row: int) -> tuple[Tensor, Tensor]:
        """All standardised frames of one clip, audio and video [1, T, D]."""
        audio, video = (self.standardize[m](torch.tensor(self.store.frames(m, row)))[None] for m in MODALITIES)
        return audio, video

    def _stacked(self, modality: Modality, rows: NDArray[np.intp]) -> Tensor:
        first = self.store.frames(modality, 0)
        stacked = torch.empty(len(rows), self.n_frames, first.shape[1])
        for position, row in enumerate(rows):
            frames = torch.tensor(self.store.frames(modality, int(row)))
            stacked[position] = self.standardize[modality](to_length(frames, self.n_frames))
        return stacked

    def check_trainable(self) -> None:
        """Raise `UserError` if a split is empty or training has fewer than two clips."""
        for split, needed in ((TRAIN, 2), (VALIDATION, 1), (TEST, 1)):
            if (found := len(self.rows(split))) < needed:
                raise UserError(
                    f"{self.store.path}: {found} clips in the {split} split; expected at least {needed}: "
                    "add clips or give them another split"
                )
