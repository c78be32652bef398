"""What shifted inputs do to trained variants: noise, a missing modality, sound and picture out of step.

Shifts act on the features as the embedder gives them, in units of the mean and standard deviation of all frames of the
training clips. Severity 0 leaves the features as they are. All draws derive from the clip's id, so that every variant
and severity meets the same ones and a batch's content does not matter. Shapes: B clips of T frames, D features (of
each modality its own).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from avfusion.errors import unknown
from avfusion.features import MODALITIES
from avfusion.fusion import FusionNetwork
from avfusion.scoring.metrics import evaluate
from avfusion.system.progress import show_progress
from avfusion.system.seeds import derive_seed
from avfusion.training.answering import as_predictions
from avfusion.training.classifier import Classifier
from avfusion.training.split_features import TEST, SplitFeatures

BATCH = 64
"""Clips that are shifted at a time."""
PAIRING = "pairing"


@dataclass(frozen=True)
class Batch:
    """Features of some test clips, and what their shifts are made of."""

    features: Mapping[str, Tensor]
    """audio and video [B, T, D]."""
    noise: Mapping[str, Tensor]
    """Normal numbers of the same shapes, as wide as the frames of the training clips."""
    means: Mapping[str, Tensor]
    """[D] mean of the frames of the training clips."""
    ranks: Tensor
    """[B] rank of each clip in a random order of all test clips, in [0, 1)."""

    def with_(self, modality: str, features: Tensor) -> dict[str, Tensor]:
        """Both modalities, one of them replaced."""
        return {**self.features, modality: features}


@dataclass(frozen=True)
class Shift:
    """One way to spoil the inputs, by several severities."""

    id: str
    title: str
    unit: str
    """What the severity counts."""
    severities: tuple[float, ...]
    touches: str
    """`audio`, `video`, or `pairing` for what only the two together can tell."""
    change: Callable[[Batch, float], Mapping[str, Tensor]]

    def felt_by(self, listener: type[FusionNetwork] | Classifier) -> bool:
        """Whether the answers of `listener` can change: it hears what is shifted, and does not average it away."""
        if self.touches == PAIRING:
            return len(listener.modalities) > 1 and not listener.pools_time
        return self.touches in listener.modalities


def _noise(modality: str) -> Callable[[Batch, float], Mapping[str, Tensor]]:
    def change(batch: Batch, severity: float) -> Mapping[str, Tensor]:
        return batch.with_(modality, batch.features[modality] + severity * batch.noise[modality])

    return change


def _missing(modality: str) -> Callable[[Batch, float], Mapping[str, Tensor]]:
    def change(batch: Batch, severity: float) -> Mapping[str, Tensor]:
        kept = (batch.ranks >= severity)[:, None, None]
        return batch.with_(modality, torch.where(kept, batch.features[modality], batch.means[modality]))

    return change


def _out_of_step(batch: Batch, severity: float) -> Mapping[str, Tensor]:
    video = batch.features["video"]
    return batch.with_("video", video.roll(round(severity * video.shape[1]), dims=1))


_NOISE, _SHARES, _STEPS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0), (0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 0.05, 0.1, 0.25, 0.5)

SHIFTS = {
    shift.id: shift
    for shift in (
        *(
            Shift(f"{m}_noise", f"noise on the {m} features", "standard deviations, each frame", _NOISE, m, _noise(m))
            for m in MODALITIES
        ),
        *(Shift(f"no_{m}", f"{m} missing", "share of the clips", _SHARES, m, _missing(m)) for m in MODALITIES),
        Shift("out_of_step", "video late against audio", "share of the clip", _STEPS, PAIRING, _out_of_step),
    )
}
"""The shifts by id. Missing features are the training mean; a late video continues with what was cut off."""


def choose_shifts(names: tuple[str, ...]) -> list[Shift]:
    """The shifts with these ids, in the order given, or every one for `all` alone; `UserError` for an unknown id."""
    if names == ("all",):
        return list(SHIFTS.values())
    for name in names:
        if name not in SHIFTS:
            raise unknown("shift", name, [*SHIFTS, "all", "none"])
    return [SHIFTS[name] for name in names]


def robustness(classifiers: Mapping[str, Classifier], data: SplitFeatures, shifts: list[Shift]) -> pd.DataFrame:
    """Test scores of `classifiers` (by name) under every severity of every shift, on clips that have both modalities.

    One row each: variant, shift, severity, invariant (whether the variant cannot feel the shift) and the scores of
    `avfusion.scoring.metrics.evaluate`. Where a variant is invariant its clean score stands at every severity.
    """
    data = data.needing(MODALITIES)
    answers: dict[tuple[str, str, float], list[tuple[Tensor, Tensor]]] = {}
    order: list[NDArray[np.intp]] = []
    with show_progress("shifts", len(data.rows(TEST)), "clip") as bar:
        for rows, batch in _batches(data):
            order.append(rows)
            for name, classifier in classifiers.items():
                clean = _answers(classifier, batch.features)
                for shift in shifts:
                    felt = shift.felt_by(classifier)
                    for severity in shift.severities:
                        spoilt = felt and severity > 0
                        found = _answers(classifier, shift.change(batch, severity)) if spoilt else clean
                        answers.setdefault((name, shift.id, severity), []).append(found)
            bar.update(len(rows))
    rows = np.concatenate(order)
    return pd.DataFrame(
        [
            {
                "variant": name,
                "shift": shift,
                "severity": severity,
                "invariant": not SHIFTS[shift].felt_by(classifiers[name]),
                **evaluate(as_predictions(data, rows, parts)),
            }
            for (name, shift, severity), parts in answers.items()
        ]
    )


@torch.no_grad()
def _answers(classifier: Classifier, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Log-probabilities [B, C] and decisions [B]."""
    return classifier.eval().answers(features["audio"], features["video"])


def _batches(data: SplitFeatures) -> Iterator[tuple[NDArray[np.intp], Batch]]:
    """The test clips, those of the same lengths together, as row numbers and features."""
    rows = data.rows(TEST)
    ids = data.store.clips["id"].to_numpy()
    by_draw = sorted(rows, key=lambda row: derive_seed("missing", str(ids[row])))
    ranks = {int(row): rank / len(rows) for rank, row in enumerate(by_draw)}
    lengths = np.array([[len(data.frames(modality, row)) for modality in MODALITIES] for row in rows])
    for both in np.unique(lengths, axis=0):
        same = rows[(lengths == both).all(axis=1)]
        for start in range(0, len(same), BATCH):
            chosen = same[start : start + BATCH]
            yield chosen, _batch(data, chosen, torch.tensor([ranks[int(row)] for row in chosen]))


def _batch(data: SplitFeatures, rows: NDArray[np.intp], ranks: Tensor) -> Batch:
    features: dict[str, Tensor] = {}
    noise: dict[str, Tensor] = {}
    for modality in MODALITIES:
        features[modality] = torch.stack([torch.tensor(data.frames(modality, int(row))) for row in rows])
        ids = data.store.clips["id"].iloc[rows]
        drawn = torch.stack([_normal(modality, str(clip), features[modality].shape[1:]) for clip in ids])
        noise[modality] = drawn * data.standardize[modality].std
    return Batch(features, noise, {m: data.standardize[m].mean for m in MODALITIES}, ranks)


def _normal(modality: str, clip: str, shape: torch.Size) -> Tensor:
    generator = np.random.default_rng(derive_seed("noise", modality, clip))
    return torch.from_numpy(generator.standard_normal(tuple(shape), dtype=np.float32))
