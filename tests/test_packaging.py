"""What users see of the project agrees with what it does: MLproject and click."""

from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

ROOT = Path(__file__).parents[1]
MLPROJECT: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text())
ENTRY_POINTS = sorted(MLPROJECT["entry_points"])


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


def test_every_entry_point_file_is_in_mlproject() -> None:
    files = {path.stem for path in (ROOT / "entrypoints").glob("*.py")} - {"__init__", "command"}
    assert files == set(ENTRY_POINTS)
