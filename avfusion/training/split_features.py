"""A feature store made ready to learn from: labels, splits, standardisation, tensors.

Every variant and seed sees the same splits, so that results are compared on the same clips.
Shapes: n clips of a split, T frames, D feature dimension.
"""

from concurrent.futures import ThreadPoolExecutor
from copy import copy
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
from avfusion.scoring.seconds import second_frames
from avfusion.training.fit import Examples
from avfusion.training.standardization import Moments, Standardize, clip_moments, global_mean_std

MODALITIES: tuple[Modality, ...] = ("audio", "video")
TRAIN, VALIDATION, TEST = "train", "val", "test"


@dataclass
class SplitFeatures:
    """Classify the clips of `store`; `splits` [N] says train, val or test for each, whole locations together.

    A clip that lacks one of `modalities` (see `needing`) is in no split's rows.
    Raises `UserError` if a location or a clip is in two splits, or if a class lacks the locations to make splits.
    """

    store: FeatureStore
    modalities: tuple[str, ...] = ()
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

    def needing(self, modalities: tuple[str, ...]) -> "SplitFeatures":
        """The same task on the clips that have all of `modalities`; splits and what was read are shared."""
        if self.complete(modalities).all():
            return self
        narrowed = copy(self)
        narrowed.modalities = modalities
        for name in ("n_frames", "shape", "standardize"):
            narrowed.__dict__.pop(name, None)
        return narrowed

    def complete(self, modalities: tuple[str, ...]) -> NDArray[np.bool_]:
        """[N] whether a clip has all of `modalities`."""
        columns = [self.store.clips[f"{modality}_frames"].to_numpy() > 0 for modality in modalities]
        return np.logical_and.reduce(columns, axis=0) if columns else np.ones(len(self.splits), bool)

    def rows(self, split: str) -> NDArray[np.intp]:
        """Row numbers of the usable clips of `split`, in the store's order."""
        return np.flatnonzero((self.splits == split) & self.complete(self.modalities))

    def ids(self, split: str) -> tuple[str, ...]:
        """Clip ids of `split`, in the order of `rows`."""
        return tuple(self.store.clips["id"].iloc[self.rows(split)])

    @cached_property
    def n_frames(self) -> int:
        """The commonest number of frames of a training clip."""
        return int(np.bincount(self.lengths[self.rows(TRAIN)]).argmax())

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[N] frames of each clip that count: of its sound, or of its pictures where it has no sound."""
        audio, video = (self.store.clips[f"{modality}_frames"].to_numpy() for modality in MODALITIES)
        lengths: NDArray[np.int64] = np.where(audio > 0, audio, video)
        return lengths if self.store.first_frames is None else np.minimum(lengths, self.store.first_frames)

    def frames(self, modality: Modality, row: int | np.intp) -> NDArray[np.float32]:
        """The frames of one clip that count (see `FeatureStore.first_frames`), as they are in the store: a view."""
        return self.store.frames(modality, int(row))[: self.store.first_frames]

    @cached_property
    def shape(self) -> Shape:
        """What a network for this task must fit."""
        return Shape(self.store.audio.shape[1], self.store.video.shape[1], self.n_frames, len(self.classes))

    @cached_property
    def moments(self) -> dict[str, Moments]:
        """Mean and mean square of all frames of every clip, per modality: read once, used by all variants."""
        rows = range(len(self.store.clips))
        clips = [[self.store.frames(modality, row) for row in rows] for modality in MODALITIES]
        with ThreadPoolExecutor() as threads:  # numpy's loops run beside each other
            return dict(zip(MODALITIES, threads.map(clip_moments, clips), strict=True))

    @cached_property
    def means(self) -> dict[str, NDArray[np.float64]]:
        """Per modality the mean [N, D] of the frames of every clip that count."""
        means: dict[str, NDArray[np.float64]] = {modality: self.moments[modality].mean for modality in MODALITIES}
        first = self.store.first_frames
        if first is None:
            return means
        for modality in MODALITIES:
            longer = np.flatnonzero(self.moments[modality].frames > first)
            if len(longer):
                means[modality] = means[modality].copy()
                means[modality][longer] = [self.frames(modality, row).mean(axis=0, dtype=np.float64) for row in longer]
        return means

    @cached_property
    def standardize(self) -> dict[str, Standardize]:
        """Standardisation per modality: the store's if imported with one, else by all frames of the training clips."""
        train, given = self.rows(TRAIN), self.store.standardization
        return {m: Standardize(*(given.get(m) or global_mean_std(self.moments[m], train))) for m in MODALITIES}

    def pooled(self, split: str) -> Examples:
        """Standardised means over time, as clips of one frame: audio and video [n, 1, D].

        Standardising is affine, so the mean of standardised frames is the standardised mean.
        """
        rows = self.rows(split)
        audio, video = (
            self.standardize[m](torch.from_numpy(self.means[m][rows].astype(np.float32))[:, None]) for m in MODALITIES
        )
        return Examples(audio, video, torch.from_numpy(self.labels[rows]))

    def sequences(self, split: str) -> tuple[Examples, int]:
        """Standardised frames, audio and video [n, n_frames, D], and how many clips had another length.

        A longer clip is cut at the end, a shorter one repeats its last frame.
        """
        rows = self.rows(split)
        lengths = self.lengths[rows]
        audio, video = (self._stacked(m, rows) for m in MODALITIES)
        return Examples(audio, video, torch.from_numpy(self.labels[rows])), int((lengths != self.n_frames).sum())

    def clip(self, row: int) -> tuple[Tensor, Tensor]:
        """All standardised frames of one clip that count, audio and video [1, T, D], where T is that of the sound."""
        audio, video = (self._frames(m, row, int(self.lengths[row]))[None] for m in MODALITIES)
        return audio, video

    def second_frames(self, row: int) -> tuple[Tensor, Tensor]:
        """The frames of one clip that the 1-s protocol reads, standardised, each a clip [10, 1, D] of its own."""
        audio, video = (frames[0, second_frames(frames.shape[1])][:, None] for frames in self.clip(row))
        return audio, video

    def _stacked(self, modality: Modality, rows: NDArray[np.intp]) -> Tensor:
        stacked = torch.empty(len(rows), self.n_frames, self.store.frames(modality, 0).shape[1])
        for position, row in enumerate(rows):
            stacked[position] = self._frames(modality, int(row), self.n_frames)
        return stacked

    def _frames(self, modality: Modality, row: int, n_frames: int) -> Tensor:
        """Standardised frames [n_frames, D]; zeros for a modality that the clip lacks, which nobody listens to."""
        frames = torch.tensor(self.frames(modality, row))
        if not len(frames):
            return torch.zeros(n_frames, frames.shape[1])
        standardized: Tensor = self.standardize[modality](to_length(frames, n_frames))
        return standardized

    def check_trainable(self) -> None:
        """Raise `UserError` if a split is empty, training has fewer than two clips, or a class no training clip."""
        having = f" that have {' and '.join(self.modalities)}" if self.modalities else ""
        for split, needed in ((TRAIN, 2), (VALIDATION, 1), (TEST, 1)):
            if (found := len(self.rows(split))) < needed:
                raise UserError(
                    f"{self.store.path}: {found} clips{having} in the {split} split; expected at least {needed}: "
                    "add clips or give them another split"
                )
        trained = set(self.labels[self.rows(TRAIN)].tolist())
        missing = [name for number, name in enumerate(self.classes) if number not in trained]
        if missing:
            raise UserError(f"{self.store.path}: class {missing[0]!r} has no training clips{having}; add some")
