"""What a variant comes to over all folds: each clip answered by the network that was not trained at its location."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avfusion.fusion import FusionNetwork
from avfusion.fusion.hyperparameters import Value
from avfusion.scoring.metrics import evaluate_splits
from avfusion.scoring.predictions import Predictions
from avfusion.scoring.seconds import SECONDS
from avfusion.training.experiment import Result
from avfusion.training.split_features import SplitFeatures

SPREAD = "_fold_std"
"""What names the standard deviation over folds of a score, after the score's own name."""


@dataclass(frozen=True)
class CrossValidation:
    """One variant trained with one seed in every fold, and its out-of-fold answers: each clip's from the fold it tests.

    It takes the place of a `Result`, of which it has several.
    """

    folds: tuple[Result, ...]
    test: Predictions
    """All clips, in the order of the store."""
    test_seconds: Predictions | None
    """Ten answers per clip; None for a variant that needs whole clips."""
    diagnostics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """See `Result`; of all clips."""

    @classmethod
    def of(cls, folds: Sequence[Result], data: SplitFeatures) -> "CrossValidation":
        """The answers of `folds`, the results of one variant and seed in each, in the order of the clips of `data`."""
        ids = list(data.store.clips["id"])
        of_seconds = [f"{name}_{second}" for name in ids for second in range(SECONDS)]
        seconds = [fold.test_seconds for fold in folds if fold.test_seconds is not None]
        test = pooled([fold.test for fold in folds], ids)
        said = pd.concat([pd.DataFrame(fold.diagnostics, index=list(fold.test.ids)) for fold in folds])
        diagnostics = {str(name): said.loc[list(test.ids), name].to_numpy() for name in said.columns}
        return cls(tuple(folds), test, pooled(seconds, of_seconds) if seconds else None, diagnostics)

    @classmethod
    def chosen(
        cls, trained: Sequence["CrossValidation"], choose: Callable[[Sequence[Result]], Result], data: SplitFeatures
    ) -> "CrossValidation":
        """Of several trainings of one seed on `data`: in each fold the one that `choose` takes from those of that fold.

        That is nested cross-validation if it chooses by the fold's own validation clips.
        """
        return cls.of([choose(of_fold) for of_fold in zip(*(one.folds for one in trained), strict=True)], data)

    @property
    def variant(self) -> type[FusionNetwork]:
        """See `Result`."""
        return self.folds[0].variant

    @property
    def params(self) -> dict[str, Value]:
        """Those that all folds have in common; see `Result`."""
        first, *others = (fold.params for fold in self.folds)
        return {name: value for name, value in first.items() if all(other[name] == value for other in others)}

    @property
    def seed(self) -> int:
        """See `Result`; also that of the folds."""
        return self.folds[0].seed

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The names of `Result.metrics`: on test of all clips at once, else means over folds, and seconds in all.

        `test/accuracy_fold_std` and its like are standard deviations over folds, each scored on its own test clips.
        """
        every = pd.DataFrame([fold.metrics for fold in self.folds])
        means = {str(name): float(value) for name, value in every.mean().items()}
        pooled = evaluate_splits({"test": self.test, "test_1s": self.test_seconds})
        pooled |= {f"test/{name}": float(values.mean()) for name, values in self.diagnostics.items()}
        spreads = {f"{name}{SPREAD}": float(every[name].std()) for name in every.columns if "/" in str(name)}
        return {**means, **pooled, **spreads, "seconds": float(every["seconds"].sum())}


Scored = Result | CrossValidation
"""What one variant with one seed comes to."""


def parts(result: Scored) -> tuple[Result, ...]:
    """The trainings behind `result`: one, or one for each fold."""
    return result.folds if isinstance(result, CrossValidation) else (result,)


def pooled(parts: Sequence[Predictions], ids: Sequence[str]) -> Predictions:
    """The answers of all `parts`, which share no clip, as one set in the order of `ids`, which are theirs or more."""
    first = parts[0]
    order = {name: number for number, name in enumerate(ids)}
    joined = Predictions(
        ids=tuple(name for part in parts for name in part.ids),
        classes=first.classes,
        labels=np.concatenate([part.labels for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        decisions=np.concatenate([part.decisions for part in parts]),
    )
    return joined.take(np.argsort([order[name] for name in joined.ids], kind="stable"))
