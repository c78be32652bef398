"""What users see of the project agrees with what it does: MLproject, the table of options, click, and the jobs."""

from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Literal, get_type_hints

import click
import pytest
import yaml

from avfusion.extraction.settings import EXECUTORS
from avfusion.features import REQUIRED
from avfusion.l3.presets import preset_names
from avfusion.l3.runtime import PRECISIONS
from avfusion.system.device import DEVICES
from avfusion.tuning.plans import TARGETS
from avfusion.tuning.sampling import PRUNERS, SAMPLERS
from entrypoints.command import load_job
from entrypoints.entry_points import ENTRY_POINTS as TABLE
from entrypoints.mlproject import MLPROJECT as MLPROJECT_FILE
from entrypoints.mlproject import mlproject
from entrypoints.options import OPTIONS

ROOT = Path(__file__).parents[1]
MLPROJECT: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text())
ENTRY_POINTS = sorted(MLPROJECT["entry_points"])
CHOICES = {
    "device": DEVICES, "precision": PRECISIONS, "modalities": REQUIRED, "executor": EXECUTORS,
    "preset": preset_names(), "metric": TARGETS, "sampler": SAMPLERS, "pruner": PRUNERS,
}  # fmt: skip
"""What the rooms know by name, of the options of few choices."""


def test_mlproject_is_that_of_the_table() -> None:
    assert MLPROJECT_FILE.read_text() == mlproject(), "MLproject is stale: make mlproject"


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_mlproject_and_click_agree(name: str) -> None:
    entry = MLPROJECT["entry_points"][name]
    command: click.Command = import_module(f"entrypoints.{name}").cli
    options = {option.name: option.default for option in command.params}
    assert options == {key: value["default"] for key, value in entry["parameters"].items()}
    assert {value["type"] for value in entry["parameters"].values()} == {"string"}
    expected = f"python -m entrypoints.{name} " + " ".join(f"--{key} {{{key}}}" for key in entry["parameters"])
    assert entry["command"] == expected
    assert all(isinstance(option, click.Option) and option.help for option in command.params)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_a_job_takes_the_options_of_its_entry_point(name: str) -> None:
    """By the same names in the same order, of the same types, and without defaults."""
    job, entry = load_job(name), TABLE[name]
    parameters = signature(job).parameters
    assert tuple(parameters) == entry.options
    assert {parameter.kind for parameter in parameters.values()} == {Parameter.KEYWORD_ONLY}
    assert {parameter.default for parameter in parameters.values()} == {Parameter.empty}
    hints = get_type_hints(job)
    for key in entry.options:
        option = entry.option(key)
        accepted = [option.annotation]
        if isinstance(option.type, click.Choice):
            accepted.append(Literal[tuple(option.type.choices)])
        assert hints[key] in accepted, f"{key}: {hints[key]} is not {option.annotation}"
    assert hints["return"] == list[str]


def test_every_option_is_used() -> None:
    used = {key for entry in TABLE.values() for key in entry.options if key not in entry.own}
    assert used == set(OPTIONS)
    assert all(set(entry.own) <= set(entry.options) for entry in TABLE.values())


def test_choices_are_those_of_the_rooms() -> None:
    types = {name: option.type for name, option in OPTIONS.items()}
    found = {name: set(kind.choices) for name, kind in types.items() if isinstance(kind, click.Choice)}
    assert found == {name: set(known) for name, known in CHOICES.items()}


def test_every_entry_point_file_is_in_mlproject() -> None:
    files = {path.stem for path in (ROOT / "entrypoints").glob("*.py")}
    assert files - {"__init__", "command", "entry_points", "kinds", "mlproject", "options"} == set(ENTRY_POINTS)
