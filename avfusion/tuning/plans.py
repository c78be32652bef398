"""From what the user asks for to the studies to make."""

from collections.abc import Mapping

from avfusion.errors import unknown
from avfusion.features import FeatureStore
from avfusion.fusion import choose_variants
from avfusion.fusion.hyperparameters import check_known
from avfusion.training.experiment import hyperparameters
from avfusion.tuning.sampling import PRUNERS, SAMPLERS
from avfusion.tuning.space import make_space
from avfusion.tuning.storage import resolve_storage
from avfusion.tuning.study import STUDY_METRICS, Plan, default_name


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
) -> list[Plan]:
    """One plan for each variant in `variant` (see `choose_variants`), on the features of `store`.

    `space` changes what the variants declare (see `make_space`), `storage` is as `resolve_storage` takes it, `study` a
    name, or None for one that tells what is searched; with several variants each study's name ends in its variant's.
    Raises `UserError` for an unknown name, which lists the choices, and for what `make_space` and `resolve_storage`
    refuse.
    """
    chosen = choose_variants(variant)
    for kind, name, known in (
        ("metric", metric, STUDY_METRICS),
        ("sampler", sampler, SAMPLERS),
        ("pruner", pruner, PRUNERS),
    ):
        if name not in known:
            raise unknown(kind, name, list(known))
    check_known([hyperparameters(one) for one in chosen], space, "space")
    plans = []
    for one in chosen:
        name = default_name(one.id, store.digest, metric)
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
            )
        )
    return plans
