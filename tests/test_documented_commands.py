"""Every command that the pages give exists and takes the options that it is given; what is cheap is run."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest

from avfusion.fusion.hyperparameters import with_default
from avfusion.training import experiment
from avfusion.training.recipe import RECIPE
from entrypoints.command import command
from entrypoints.entry_points import ENTRY_POINTS
from tests.documented import ROOT, Command, commands
from tests.edge import run_job
from tests.stand_ins import draw_nothing, log_no_models, train_here
from tests.stores import make_store

COMMANDS = list(commands())
BLOCKS = [entry for entry in COMMANDS if entry.whole]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

OTHERS = {".", "base64", "curl", "export", "find", "git", "optuna-dashboard", "pre-commit", "printf", "ray"}
"""Programs that are not ours; what they are given is not looked at."""


def check_python(words: tuple[str, ...], *, whole: bool) -> None:
    """`-m MODULE ...`: an entry point with its options, or a module that is there."""
    flag, module, *arguments = words
    assert flag == "-m", words
    package, _, name = module.partition(".")
    if package == "entrypoints" and name in ENTRY_POINTS:
        parse(command(name), name, arguments, whole=whole)
    elif "NAME" not in module:
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module


def check_mlflow(words: tuple[str, ...], *, whole: bool) -> None:
    """A command of MLflow's with its options; `mlflow run` with those of its entry point, too."""
    from mlflow.cli import cli  # takes seconds

    found: click.Command = cli
    rest = list(words)
    while isinstance(found, click.Group):
        name = rest.pop(0)
        assert name in found.commands, name
        found = found.commands[name]
    context = parse(found, found.name or "", rest, whole=whole)
    if found.name == "run" and context is not None and context.params["uri"] == ".":
        name = context.params["entry_point"]
        given = [f"--{pair}" for pair in context.params["param_list"]]
        parse(command(name), name, given, whole=whole)


def check_make(words: tuple[str, ...], *, whole: bool) -> None:
    assert words[0] in TARGETS


def check_pip(words: tuple[str, ...], *, whole: bool) -> None:
    """Extras of ours are there."""
    extras = [extra for word in words for extra in re.findall(r"\.\[(\w+)\]", word)]
    assert set(extras) <= set(PYPROJECT["project"]["optional-dependencies"])


def check_pytest(words: tuple[str, ...], *, whole: bool) -> None:
    assert all((ROOT / word).exists() for word in words if not word.startswith("-"))


CHECKS = {
    "python": check_python, "mlflow": check_mlflow, "make": check_make, "pip": check_pip, "pytest": check_pytest,
}  # fmt: skip


def parse(found: click.Command, name: str, arguments: list[str], *, whole: bool) -> click.Context | None:
    """What click makes of the arguments; in the text something that is needed may be left out."""
    try:
        return found.make_context(name, list(arguments))
    except click.MissingParameter:
        assert not whole
        return None


@pytest.mark.parametrize("documented", COMMANDS, ids=str)
def test_a_command_exists_with_its_options(
    documented: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program, *words = documented.words
    assert program in CHECKS or program in OTHERS, f"teach this test about {program}"
    if program in CHECKS:
        CHECKS[program](tuple(words), whole=documented.whole)


def test_commands_are_found() -> None:
    """On each page that has some, and of each entry point at least one."""
    used = {entry.words[2].partition(".")[2] for entry in BLOCKS if entry.words[:2] == ("python", "-m")}
    used |= {
        entry.words[entry.words.index("-e") + 1]
        for entry in BLOCKS
        if "-e" in entry.words and entry.words[0] == "mlflow"
    }
    assert set(ENTRY_POINTS) <= used


RUN = """
docs/results.md: python -m entrypoints.train --features runs/features/NAME
docs/comparing.md: python -m entrypoints.ensemble --experiment avfusion
docs/report.md: python -m entrypoints.report --experiment avfusion
docs/data.md: python -m entrypoints.export --features runs/features/NAME --output runs/hdf5
"""
"""What is cheap on a small feature store, in an order in which each finds what it needs."""


def options(words: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """The entry point that a command starts, by whichever way, and its options."""
    if words[0] == "python":
        names, values = words[3::2], words[4::2]
        return words[2].partition(".")[2], {
            name.removeprefix("--"): value for name, value in zip(names, values, strict=True)
        }
    pairs = [value for flag, value in pairwise(words) if flag == "-P"]
    return words[words.index("-e") + 1], dict(pair.split("=", 1) for pair in pairs)


def test_commands_that_are_cheap_run(tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a reader would, on a small store of the name that the pages give it; one epoch each."""
    documented = {str(entry): entry.words for entry in BLOCKS}
    make_store(tmp_path / "runs/features/NAME", locations=8, clips=2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiment, "RECIPE", {**RECIPE, "epochs": with_default(RECIPE["epochs"], 1)})
    train_here(monkeypatch)
    draw_nothing(monkeypatch)
    log_no_models(monkeypatch)
    for line in RUN.strip().splitlines():
        name, given = options(documented[line])
        assert run_job(name, **given), line
