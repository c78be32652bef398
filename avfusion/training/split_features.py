"""A feature store made ready to learn from: labels, splits, standardisation, tensors.

Every variant and seed sees the same splits, so that results are compared on the same clips.
Shapes: N clips of the store, n of a split, T frames, Da and Dv feature dimensions (D for either), C classes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avfusion.datasets.folds import Fold, draw_folds, search_folds
from avfusion.datasets.splits import assign_splits
from avfusion.errors import UserError
from avfusion.features import MODALITIES, FeatureStore, Modality
from avfusion.fusion import Shape
from avfusion.fusion.base import paired, to_length
from avfusion.scoring.seconds import second_frames
from avfusion.training.fit import Examples
from avfusion.training.standardization import ClipStatistics, Standardize, global_mean_std

TRAIN, VALIDATION, TEST = "train", "val", "test"

Given = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Mean and standard deviation [D] by modality."""


@dataclass(frozen=True)
class SplitSummary:
    """What a split has, in short."""

    clips: int
    locations: int
    digest: str
    """SHA-256 of the store's digest and the clips' ids, its first 36 hexadecimal digits."""


class SplitFeatures:
    """The clips of a feature store with their labels, split into training, validation and test clips.

    Nothing of it changes: `needing`, `with_splits` and the folds give another one, which shares what was read of the
    store.

    Attributes:
        store: the features and the list of clips.
        splits: [N] `train`, `val` or `test` of each clip, whole locations together.
        modalities: those that a clip must have; one that lacks any is in no split's rows.
        statistics: of each clip, read when they are first needed.
        given: the standardisation that the store was imported with: of its own training clips, so that other splits do
            without.
    """

    def __init__(
        self,
        store: FeatureStore,
        splits: NDArray[np.str_] | None = None,
        *,
        modalities: tuple[str, ...] = (),
        statistics: ClipStatistics | None = None,
        given: Given | None = None,
        keep_sequences: bool = False,
    ) -> None:
        """Split the clips of `store`, unless `splits` are given, with the standardisation `given` for them, if any.

        `statistics` are those of the store, if known.

        With `keep_sequences` the frames of a split stay in memory once they were asked for: for many trainings of
        one variant. Raises `UserError` if a location or a clip is in two splits, or if a class lacks the locations to
        make splits.
        """
        self.store, self.modalities, self.keep_sequences = store, modalities, keep_sequences
        self.splits = assign_splits(store.clips) if splits is None else splits
        self.statistics = statistics or ClipStatistics(store)
        self.given: Given = store.standardization if splits is None else given or {}
        self._kept: dict[tuple[str, bool], tuple[Examples, int]] = {}
        self._folds: dict[tuple[int, int], list[NDArray[np.str_]]] = {}

    def needing(self, modalities: tuple[str, ...]) -> "SplitFeatures":
        """The same splits of the clips that have all of `modalities`."""
        if modalities == self.modalities or self.complete(modalities).all():
            return self
        return self._other(self.splits, modalities, self.given)

    def with_splits(self, splits: NDArray[np.str_]) -> "SplitFeatures":
        """The same clips in other splits [N]; a clip may be in none, by any other word."""
        return self._other(splits, self.modalities, {})

    def in_fold(self, fold: Fold, seed: int) -> "SplitFeatures":
        """The same clips as one fold of cross-validation splits them (see `avfusion.datasets.folds.draw_folds`)."""
        if (fold.total, seed) not in self._folds:
            self._folds[fold.total, seed] = draw_folds(self.store.clips, fold.total, seed)
        return self.with_splits(self._folds[fold.total, seed][fold.number - 1])

    def in_search_folds(self, total: int) -> list["SplitFeatures"]:
        """The same clips as the folds of a search split them (see `avfusion.datasets.folds.search_folds`)."""
        return [self.with_splits(splits) for splits in search_folds(self.store.clips, total)]

    def _other(self, splits: NDArray[np.str_], modalities: tuple[str, ...], given: Given) -> "SplitFeatures":
        return SplitFeatures(
            self.store,
            splits,
            modalities=modalities,
            statistics=self.statistics,
            given=given,
            keep_sequences=self.keep_sequences,
        )

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """[N] class of each clip, an index into `classes`."""
        index = {name: number for number, name in enumerate(self.classes)}
        return np.array([index[label] for label in self.store.clips["label"]], np.int64)

    @property
    def classes(self) -> tuple[str, ...]:
        """[C] class names in alphabetical order; the index is the label."""
        return self.store.classes

    def complete(self, modalities: tuple[str, ...]) -> NDArray[np.bool_]:
        """[N] whether a clip has all of `modalities`."""
        columns = [self.store.clips[f"{modality}_frames"].to_numpy() > 0 for modality in modalities]
        return np.logical_and.reduce(columns, axis=0) if columns else np.ones(len(self.splits), bool)

    def left_out(self, modalities: tuple[str, ...]) -> int:
        """How many clips lack one of `modalities`."""
        return int((~self.complete(modalities)).sum())

    def rows(self, split: str) -> NDArray[np.intp]:
        """Row numbers of the usable clips of `split`, in the store's order."""
        return np.flatnonzero((self.splits == split) & self.complete(self.modalities))

    def ids(self, split: str) -> tuple[str, ...]:
        """Clip ids of `split`, in the order of `rows`."""
        return tuple(self.store.clips["id"].iloc[self.rows(split)])

    def summary(self, split: str) -> SplitSummary:
        """How many clips and locations `split` has, and which clips they are."""
        clips = self.store.clips.iloc[self.rows(split)]
        digest = hashlib.sha256("\n".join([self.store.digest, *clips["id"]]).encode()).hexdigest()
        return SplitSummary(len(clips), clips["location"].nunique(), digest[:36])

    @cached_property
    def n_frames(self) -> int:
        """The commonest number of moments of a training clip."""
        return int(np.bincount(self.lengths[self.rows(TRAIN)]).argmax())

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[N] moments of each clip: frames that count of its sound, or of its pictures where it has no sound."""
        audio, video = (self.store.clips[f"{modality}_frames"].to_numpy() for modality in MODALITIES)
        lengths: NDArray[np.int64] = np.where(audio > 0, audio, video)
        return lengths if self.store.first_frames is None else np.minimum(lengths, self.store.first_frames)

    def frames(self, modality: Modality, row: int | np.intp) -> NDArray[np.float32]:
        """The frames of one clip that count (see `FeatureStore.first_frames`), as they are in the store: a view."""
        return self.store.frames(modality, int(row))[: self.store.first_frames]

    @cached_property
    def shape(self) -> Shape:
        """The sizes that a network for these features needs."""
        return Shape(self.store.audio.shape[1], self.store.video.shape[1], self.n_frames, len(self.classes))

    @cached_property
    def standardize(self) -> dict[str, Standardize]:
        """Standardisation per modality: the store's if imported with one, else by all frames of the training clips."""
        train, moments = self.rows(TRAIN), self.statistics.moments
        return {m: Standardize(*(self.given.get(m) or global_mean_std(moments[m], train))) for m in MODALITIES}

    def pooled(self, split: str) -> Examples:
        """Standardised means over time, as clips of one frame: audio and video [n, 1, D].

        Standardising is affine, so the mean of standardised frames is the standardised mean.
        """
        rows, means = self.rows(split), self.statistics.means
        audio, video = (
            self.standardize[m](torch.from_numpy(means[m][rows].astype(np.float32))[:, None]) for m in MODALITIES
        )
        return Examples(audio, video, torch.from_numpy(self.labels[rows]))

    def sequences(self, split: str, *, padded: bool = False) -> tuple[Examples, int]:
        """Standardised frames, audio and video [n, n_frames, D], and how many clips had another length.

        Both modalities are paired at the moments of the sound. A longer clip is cut at the end. A shorter one repeats
        its last frame, or goes on with NaN if `padded`.
        """
        if (split, padded) in self._kept:
            return self._kept[split, padded]
        rows = self.rows(split)
        lengths = self.lengths[rows]
        audio, video = (self._stacked(m, rows, padded) for m in MODALITIES)
        n_other = int((lengths != self.n_frames).sum())
        found = Examples(audio, video, torch.from_numpy(self.labels[rows])), n_other
        if self.keep_sequences:
            self._kept[split, padded] = found
        return found

    def clip(self, row: int) -> tuple[Tensor, Tensor]:
        """All standardised frames of one clip that count, audio and video [1, T, D], paired at the T of the sound."""
        audio, video = (self._frames(m, row, int(self.lengths[row]))[None] for m in MODALITIES)
        return audio, video

    def second_frames(self, row: int) -> tuple[Tensor, Tensor]:
        """The frames of one clip that the 1-s protocol reads, standardised, each a clip [10, 1, D] of its own."""
        audio, video = (frames[0, second_frames(frames.shape[1])][:, None] for frames in self.clip(row))
        return audio, video

    def _stacked(self, modality: Modality, rows: NDArray[np.intp], padded: bool) -> Tensor:
        stacked = torch.empty(len(rows), self.n_frames, self.store.frames(modality, 0).shape[1])
        for position, row in enumerate(rows):
            n_own = min(int(self.lengths[row]), self.n_frames) if padded else self.n_frames
            stacked[position, :n_own] = self._frames(modality, int(row), n_own)
            stacked[position, n_own:] = torch.nan
        return stacked

    def _frames(self, modality: Modality, row: int, n_frames: int) -> Tensor:
        """Standardised frames [n_frames, D], paired with the other modality's (see `avfusion.fusion.base.paired`).

        Zeros for a modality that the clip lacks, which nobody listens to.
        """
        frames = torch.tensor(self.frames(modality, row))
        if not len(frames):
            return torch.zeros(n_frames, frames.shape[1])
        frames = paired(frames, int(self.lengths[row]), frame_by_frame=self.store.first_frames is not None)
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
