"""What must stand beside scores and verdicts: whether they are about variants, and how much the clips allow."""

import shlex
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from avfusion.analysis.variant_answers import SideBySide, VariantAnswers
from avfusion.fusion import variants
from avfusion.report.document import listed
from avfusion.report.measured import BY_LOCATIONS
from avfusion.tracking.session import EXPERIMENT
from avfusion.training.ensemble import ENSEMBLE
from avfusion.training.experiment import changed_params

SEEDS = "0,1,2,3,4"
"""What the commands here ask for: of five a side the error has eight degrees of freedom, of three it has four."""

THESE_ONLY = "these two trained networks only"
FEW = 5
"""Locations of a class below which verdicts are called weak."""
SHOWN = 3
"""Classes that are named for that."""


def rests_on(n_seeds: int, option: str = "seeds") -> str:
    """What must stand under a table of scores: how many seeds it rests on, and the `option` that gives more."""
    if n_seeds == 1:
        return f"1: the scores are of these trained networks only; {option}={SEEDS} would tell about the variants"
    return f"{n_seeds}: the scores are means over them"


def cautions(found: SideBySide) -> list[str]:
    """What must stand beside verdicts on the variants in `found`."""
    command = settled_by(found)
    return [scope(found) + (f" What would settle it: {command}" if command else ""), *few_locations(found)]


def scope(found: SideBySide) -> str:
    """Whether verdicts are about variants or about trained networks."""
    once = [variant.name for variant in found.variants if len(variant.seeds) == 1]
    if not once:
        counts = ", ".join(f"{variant.name} {len(variant.seeds)}" for variant in found.variants)
        return f"Every variant was trained with several seeds ({counts}): verdicts are about the variants."
    every = len(once) == len(found.variants)
    if every:
        begin = "Every variant was trained with one seed: a verdict"
    elif len(once) == 1:
        begin = f"{once[0]} was trained with one seed: a verdict on it"
    else:
        begin = f"{listed(once)} were trained with one seed: a verdict on them"
    return f"{begin} is about {THESE_ONLY}. Trained again with other seeds, the two may change places."


def settled_by(found: SideBySide) -> str:
    """The command that trains what was trained once with several seeds; words where there are no runs; else empty."""
    once = [variant for variant in found.variants if len(variant.seeds) == 1]
    trained = [variant for variant in once if variant.config.get("variant") in variants()]
    ensembles = [variant for variant in once if variant.config.get("variant") == ENSEMBLE]
    if len(trained) + len(ensembles) < len(once):
        return "train each with several seeds, as runs in MLflow, and compare these runs."
    commands = " && ".join(map(_command, _alike(trained)))
    if not ensembles:
        return commands
    members = commands or f"train the members of {listed([one.name for one in ensembles])} with several seeds"
    return f"{members}; then make the ensemble of these runs."


def few_locations(found: SideBySide) -> list[str]:
    """That a class has fewer than five locations among the test clips, and what that does to verdicts; else nothing."""
    counts = (found.locations.sizes > 0).sum(axis=0)
    few = {scene: int(n) for scene, n in zip(found.first.classes, counts, strict=True) if 0 < n < FEW}
    if not few:
        return []
    least, shown = min(few.values()), [f"{scene} {n}" for scene, n in sorted(few.items(), key=lambda entry: entry[1])]
    told, false = BY_LOCATIONS[least]
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return [
        f"Fewer than {FEW} test locations of {', '.join(shown[:SHOWN])}{more}: verdicts are weak. If all have "
        f"{least}, five points of accuracy are told in {told} of 100 comparisons (if all have 12, in "
        f"{BY_LOCATIONS[12][0]}), and where one model fails at rare locations, {false} of 100 verdicts on equal models "
        "are false, instead of 5."
    ]


def _alike(once: Sequence[VariantAnswers]) -> list[list[VariantAnswers]]:
    """Those that one command can train: of one experiment, on equal features, in as many folds, with equal params."""

    def settings(variant: VariantAnswers) -> tuple[str, str, str, str]:
        config = variant.config
        return variant.experiment or "", str(config["features"]["path"]), str(config.get("folds")), _params(config)

    return [list(group) for _, group in groupby(sorted(once, key=settings), settings)]


def _command(group: Sequence[VariantAnswers]) -> str:
    """What trains the variants of `group` with several seeds, into their experiment."""
    experiment, config = group[0].experiment or EXPERIMENT, group[0].config
    names = ",".join(dict.fromkeys(variant.config["variant"] for variant in group))
    words = ["--features", str(config["features"]["path"]), "--variants", names, "--seeds", SEEDS]
    words += ["--folds", str(folds)] if (folds := config.get("folds")) else []
    words += ["--params", params] if (params := _params(config)) else []
    into = "" if experiment == EXPERIMENT else f"MLFLOW_EXPERIMENT_NAME={shlex.quote(experiment)} "
    return into + shlex.join(["python", "-m", "entrypoints.train", *words])


def _params(config: Mapping[str, Any]) -> str:
    """The hyperparameters of a training that are not the study's, as the option `params` takes them."""
    changed = changed_params(config["variant"], config["params"])
    return ",".join(f"{name}={value}" for name, (value, _) in changed.items())
