"""From what the user asks for to the studies to make."""

from avfusion.errors import unknown
from avfusion.features import FeatureStore
from avfusion.fusion import choose_variants
from avfusion.fusion.hyperparameters import check_known, parse_params
from avfusion.training.experiment import hyperparameters
from avfusion.tuning.sampling import PRUNERS, SAMPLERS
from avfusion.tuning.space import make_space
from avfusion.tuning.storage import resolve_storage
from avfusion.tuning.study import STUDY_METRICS, Plan, default_name


def make_plans(
    store: FeatureStore,
    variant: str,
    n_trials: int,
    metric: str,
    sampler: str,
    pruner: str,
    space: str,
    storage: str,
    study: str,
) -> list[Plan]:
    """One plan for each variant in `variant` (ids with commas, `all`, `quick`), on the features of `store`.

    `space` changes what the variants declare (see `make_space`), `storage` is as `resolve_storage` takes it, `study` a
    name or `none`; with several variants each study's name ends in its variant's. Raises `UserError` for an unknown
    name, which lists the choices, and for what `make_space` and `resolve_storage` refuse.
    """
    chosen, given = choose_variants(variant), parse_params(space, "space")
    for kind, name, known in (
        ("metric", metric, STUDY_METRICS),
        ("sampler", sampler, SAMPLERS),
        ("pruner", pruner, PRUNERS),
    ):
        if name not in known:
            raise unknown(kind, name, list(known))
    check_known([hyperparameters(one) for one in chosen], given, "space")
    plans = []
    for one in chosen:
        name = default_name(one.id, store.digest, metric)
        if study != "none":
            name = study if len(chosen) == 1 else f"{study}-{one.id}"
        plans.append(
            Plan(
                name=name,
                variant=one,
                features=store.path.absolute(),
                features_digest=store.digest,
                space=make_space(one, given),
                metric=metric,
                sampler=sampler,
                pruner=pruner,
                n_trials=n_trials,
                storage=resolve_storage(storage),
            )
        )
    return plans
