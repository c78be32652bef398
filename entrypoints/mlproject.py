"""Writes MLproject from the tables of entry points and options: `make mlproject`."""

import textwrap
from pathlib import Path

from entrypoints.entry_points import ENTRY_POINTS, EntryPoint

MLPROJECT = Path(__file__).parents[1] / "MLproject"
HEAD = """\
# Written by `make mlproject` from entrypoints/entry_points.py and options.py: change those.
name: avfusion
conda_env: conda.yaml

entry_points:
"""
WORDS = ("true", "false")
"""What YAML would read as something else than text."""


def mlproject() -> str:
    """The content of MLproject. MLflow checks no type of parameter but string well."""
    return HEAD + "\n".join(_entry(name, entry) for name, entry in ENTRY_POINTS.items())


def _entry(name: str, entry: EntryPoint) -> str:
    lines = [f"  {name}:", "    parameters:"]
    lines += [f"      {key}: {{type: string, default: {_yaml(entry.option(key).default)}}}" for key in entry.options]
    # A no-break space keeps an option and its value on one line.
    command = " ".join([f"python -m entrypoints.{name}", *(f"--{key}\xa0{{{key}}}" for key in entry.options)])
    wrapped = textwrap.wrap(command, 114, break_long_words=False, break_on_hyphens=False)
    return "\n".join([*lines, "    command: >-", *(f"      {line}" for line in wrapped), ""]).replace("\xa0", " ")


def _yaml(text: str) -> str:
    """As it is where YAML reads letters and digits as text, else in quotes."""
    return text if text[0].isalpha() and text not in WORDS else f'"{text}"'


if __name__ == "__main__":
    MLPROJECT.write_text(mlproject())
