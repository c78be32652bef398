"""What is searched, and how points are drawn."""

from pathlib import Path

import optuna
import pytest
from optuna import Study, Trial
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial

from avfusion.errors import UserError
from avfusion.fusion import FusionNetwork, variants
from avfusion.tuning.sampling import SAMPLERS, STAGE, NamedSeeds, make_pruner
from avfusion.tuning.space import Choices, Range, make_space
from avfusion.tuning.storage import open_storage
from tests.edge import parsed

LATE = variants()["late"]


def overrides(text: str) -> dict[str, str]:
    """`text` as `tune` reads its option `space`."""
    return dict(parsed("tune", features="store", space=text)["space"])


@pytest.mark.parametrize("variant", variants().values(), ids=lambda variant: variant.id)
def test_the_first_point_is_the_study_itself(variant: type[FusionNetwork]) -> None:
    space = make_space(variant, {})
    assert space.complete(space.first) == dict(space.defaults)
    for name, distribution in space.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(space.first[name]))
    assert {"learning_rate", "weight_decay", "batch_size", "dropout", "hidden"} <= set(space.searched)
    assert {"epochs", "patience"} <= set(space.fixed)


def test_ranges_choices_and_fixed_values() -> None:
    given = "alpha=0.2:0.4,hidden=128|256,dropout=0.3,embedding=32:64,learning_rate=1e-4:1e-2,output_relu=true|false"
    space = make_space(LATE, overrides(given))
    assert space.distributions["alpha"] == FloatDistribution(0.2, 0.4)
    assert space.distributions["learning_rate"] == FloatDistribution(1e-4, 1e-2, log=True)
    assert space.distributions["hidden"] == CategoricalDistribution((128, 256))
    assert space.distributions["embedding"] == IntDistribution(32, 64)
    assert space.distributions["output_relu"] == CategoricalDistribution((True, False))
    assert space.fixed["dropout"] == 0.3 and "dropout" not in space.searched
    # What the default is not in takes the nearest; what is compared with at the end stays the study's own.
    assert not space.has_defaults and make_space(LATE, overrides("hidden=128|512,epochs=100")).has_defaults
    assert not make_space(LATE, overrides("epochs=5")).has_defaults
    assert (space.first["alpha"], space.first["hidden"], space.first["embedding"]) == (0.4, 256, 64)
    assert (space.defaults["alpha"], space.defaults["hidden"], space.defaults["dropout"]) == (0.5, 512, 0.2)


def test_the_digest_is_fixed_by_the_space() -> None:
    texts = ("none", "alpha=0.2:0.4", "alpha=0.2:0.5", "alpha=0.2|0.4", "alpha=0.3", "epochs=5")
    digests = [make_space(LATE, overrides(text)).digest for text in texts]
    assert len(set(digests)) == len(texts)
    assert digests == [make_space(LATE, overrides(text)).digest for text in texts]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alpha=0.6:0.2", r"alpha=0.6:0.2: an empty range; write low:high with low < high"),
        ("alpha=0.2:0.2", "an empty range"),
        ("alpha=0.2:1.5", r"alpha=0.2:1.5: expected a number in \[0, 1\]"),
        ("alpha=0.1:0.2:0.3", r"expected a number in \[0, 1\], as low:high, a\|b\|c or one value"),
        ("alpha=:", "expected a number"),
        ("hidden=1.5|2", r"hidden=1.5\|2: expected a whole number"),
        ("hidden=128|128", "a choice is given twice"),
        ("hidden=|", "expected a whole number"),
        ("output_relu=0:1", "expected true or false, not a range"),
        ("dropout=nan:0.5", "expected a number"),
    ],
)
def test_illegal_overrides(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_space(LATE, overrides(text))


def test_something_must_be_left_to_search() -> None:
    fixed = {name: str(value) for name, value in make_space(LATE, {}).first.items()}
    with pytest.raises(UserError, match="every hyperparameter of late is fixed"):
        make_space(LATE, fixed)


def test_grids() -> None:
    assert Range(0.0, 1.0).grid == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert Range(1e-4, 1.0, log=True).grid == pytest.approx((1e-4, 1e-3, 1e-2, 1e-1, 1.0))
    assert Range(1, 3, whole=True).grid == (1, 2, 3)
    assert Choices(("a", "b")).grid == ("a", "b")
    fixed = "learning_rate=0.001,weight_decay=0,batch_size=64,embedding=64,output_hidden=64,dropout=0.1"
    fixed += ",scheduler=plateau,label_smoothing=0,mixup=0,modality_dropout=0,balance=0"
    space = make_space(LATE, overrides(f"{fixed},alpha=0.2|0.4,hidden=8|16|32"))
    points = space.grid(100, seed=1)
    assert len(points) == space.grid_size == 6
    assert {(point["alpha"], point["hidden"]) for point in points} == {(a, h) for a in (0.2, 0.4) for h in (8, 16, 32)}
    assert space.grid(4, seed=1) == space.grid(4, seed=1) != space.grid(4, seed=2)


def draw(study: Study, n_trials: int) -> list[dict[str, object]]:
    """The parameters of so many trials, whose value is the squared distance of x to 0.3."""

    def objective(trial: Trial) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        trial.suggest_categorical("kind", [1, 2, 3])
        return (x - 0.3) ** 2

    study.optimize(objective, n_trials=n_trials)
    return [trial.params for trial in study.get_trials()]


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_a_resumed_study_draws_what_an_uninterrupted_one_does(sampler: str, tmp_path: Path) -> None:
    whole = draw(optuna.create_study(study_name="s", sampler=NamedSeeds(sampler)), 14)
    storage = open_storage(str(tmp_path / "journal"))
    draw(optuna.create_study(storage=storage, study_name="s", sampler=NamedSeeds(sampler)), 7)
    resumed = draw(optuna.load_study(storage=storage, study_name="s", sampler=NamedSeeds(sampler)), 7)
    assert resumed == whole
    assert len({trial["x"] for trial in whole}) == 14
    other = draw(optuna.create_study(study_name="t", sampler=NamedSeeds(sampler)), 3)
    assert other != whole[:3]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_two_workers_never_draw_the_same(sampler: str, tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    optuna.create_study(storage=open_storage(path), study_name="s")
    workers = [
        optuna.load_study(storage=open_storage(path), study_name="s", sampler=NamedSeeds(sampler)) for _ in range(2)
    ]
    drawn = [worker.ask().suggest_float("x", 0.0, 1.0) for _ in range(5) for worker in workers]
    assert len(set(drawn)) == 10


def test_the_median_pruner_waits_for_five_trials_and_five_epochs() -> None:
    study = optuna.create_study(study_name="s", pruner=make_pruner("median"))
    for value in (0.1, 0.2, 0.3, 0.4, 0.5):
        steps = dict.fromkeys(range(1, 11), value)
        study.add_trial(create_trial(value=value, intermediate_values=steps))
    worse, better = study.ask(), study.ask()
    pruned = []
    for step in range(1, 11):
        worse.report(0.9, step)
        better.report(0.15, step)
        pruned += [step] if worse.should_prune() else []
        assert not better.should_prune()
    assert pruned == list(range(5, 11))


def test_the_median_pruner_compares_a_stage_with_the_same_stage() -> None:
    study = optuna.create_study(study_name="s", pruner=make_pruner("median"))
    for value in (0.1, 0.2, 0.3, 0.4, 0.5):
        stages = {**dict.fromkeys(range(1, 11), 0.01), **dict.fromkeys(range(STAGE + 1, STAGE + 11), value)}
        study.add_trial(create_trial(value=value, intermediate_values=stages))
    worse, better = study.ask(), study.ask()
    for step in (*range(1, 11), *range(STAGE + 1, STAGE + 11)):
        worse.report(0.01 if step < STAGE else 0.9, step)  # good in the first stage, which says nothing of the second
        better.report(0.01 if step < STAGE else 0.15, step)
        assert bool(worse.should_prune()) is (step >= STAGE + 5)
        assert not better.should_prune()


def test_folds_are_pruned_once_three_are_worse() -> None:
    study = optuna.create_study(study_name="s", pruner=make_pruner("median", has_folds=True))
    study.add_trial(create_trial(value=0.3, intermediate_values={1: 0.2, 2: 0.3, 3: 0.4, 4: 0.3, 5: 0.3}))
    worse, mixed = study.ask(), study.ask()
    pruned = []
    for fold, (bad, other) in enumerate(((0.3, 0.1), (0.5, 0.5), (0.7, 0.3), (0.6, 0.4)), 1):
        worse.report(bad, fold)
        mixed.report(other, fold)
        pruned += [fold] if worse.should_prune() else []
        assert not mixed.should_prune()
    assert pruned == [3, 4]


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(UserError, match="unknown sampler 'cma'; choose from: gp, grid, random, tpe"):
        NamedSeeds("cma")
    with pytest.raises(UserError, match="unknown pruner 'sha'; choose from: median, none"):
        make_pruner("sha")
