"""What a study is to be: a plan, made from what the user asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avfusion.errors import unknown
from avfusion.features import FeatureStore
from avfusion.fusion import FusionNetwork, choose_variants
from avfusion.system.seeds import derive_seed
from avfusion.training.experiment import check_usable
from avfusion.training.fit import Epoch
from avfusion.tuning.sampling import PRUNERS, SAMPLERS
from avfusion.tuning.space import Space, make_space
from avfusion.tuning.storage import resolve_storage


@dataclass(frozen=True)
class Target:
    """What a study improves, measured on the validation split."""

    direction: Literal["minimize", "maximize"]
    by_epoch: str
    """The field of `avfusion.training.fit.Epoch` that a pruner looks at after each epoch."""
    final: str

    def at(self, epoch: Epoch) -> float:
        """Its value after `epoch`."""
        return float(getattr(epoch, self.by_epoch))


TARGETS: Mapping[str, Target] = {
    "log_loss": Target("minimize", "val_loss", "val/log_loss"),
    "accuracy": Target("maximize", "val_accuracy", "val/accuracy"),
}


@dataclass(frozen=True)
class Plan:
    """One study: what is searched, on what, how and how long."""

    name: str
    variant: type[FusionNetwork]
    features: Path
    features_digest: str
    space: Space
    metric: str
    sampler: str
    pruner: str
    n_trials: int
    storage: str
    """As `resolve_storage` gives it."""
    folds: int | None = None
    """In how many folds of the clips outside the test split each trial is trained; None is the dataset's own split."""

    @property
    def seed(self) -> int:
        """The seed of every trial's training: one for all, so that trials differ by their hyperparameters alone."""
        return derive_seed("trials", self.name)

    @property
    def total(self) -> int:
        """How many trials the study will have: `n_trials`, or fewer if a grid has fewer points."""
        if self.sampler != "grid":
            return self.n_trials
        dimensions, first = self.space.searched, self.space.first
        first_is_new = any(first[name] not in dimension.grid for name, dimension in dimensions.items())
        return min(self.n_trials, self.space.grid_size + first_is_new)

    @property
    def value_in_words(self) -> str:
        """What the value of a trial is, as `validation log loss`."""
        return f"validation {self.metric.replace('_', ' ')}"

    @property
    def identity(self) -> dict[str, str]:
        """What all processes that work on a study must agree on; kept with the study."""
        return {
            "variant": self.variant.id,
            "features": self.features_digest,
            "metric": self.metric,
            "space": self.space.digest,
            "folds": self._folds,
        }

    @property
    def asked(self) -> dict[str, str]:
        """What is searched and how, for the parameters of the study's run."""
        return {"variant": self.variant.id, "metric": self.metric, "space": str(self.space), "folds": self._folds}

    @property
    def _folds(self) -> str:
        return "none" if self.folds is None else str(self.folds)


def default_name(variant: str, features_digest: str, metric: str, folds: int | None = None) -> str:
    """The name of a study where the user gave none."""
    return f"{variant}-{features_digest[:8]}-{metric}" + ("" if folds is None else f"-{folds}-folds")


def make_plans(
    store: FeatureStore,
    variant: tuple[str, ...],
    n_trials: int,
    metric: str,
    sampler: str,
    pruner: str,
    space: Mapping[str, str],
    storage: str | None,
    study: str | None,
    folds: int | None,
) -> list[Plan]:
    """One plan for each variant in `variant` (see `choose_variants`), on the features of `store`; unimodal ones first.

    `space` changes what the variants declare (see `make_space`), `storage` is as `resolve_storage` takes it, `study` a
    name, or None for one that tells what is searched; with several variants each study's name ends in its variant's.
    Raises `UserError` for an unknown name, which lists the choices, and for what `make_space` and `resolve_storage`
    refuse.
    """
    chosen = sorted(choose_variants(variant), key=lambda one: len(one.modalities))
    for kind, name, known in (
        ("metric", metric, TARGETS),
        ("sampler", sampler, SAMPLERS),
        ("pruner", pruner, PRUNERS),
    ):
        if name not in known:
            raise unknown(kind, name, list(known))
    check_usable(chosen, space, "space")
    plans = []
    for one in chosen:
        name = default_name(one.id, store.digest, metric, folds)
        if study is not None:
            name = study if len(chosen) == 1 else f"{study}-{one.id}"
        plans.append(
            Plan(
                name=name,
                variant=one,
                features=store.path.absolute(),
                features_digest=store.digest,
                space=make_space(one, space),
                metric=metric,
                sampler=sampler,
                pruner=pruner,
                n_trials=n_trials,
                storage=resolve_storage(storage),
                folds=folds,
            )
        )
    return plans
