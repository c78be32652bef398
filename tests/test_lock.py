"""requirements.lock agrees with pyproject.toml, with conda.yaml, and with what `make` installed."""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT: dict[str, Any] = PYPROJECT["project"]
PYTHONS = [entry.removeprefix("Programming Language :: Python :: ") for entry in PROJECT["classifiers"]]
WANTED = [Requirement(entry) for entry in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
LOCKED = re.split(r"^(?=\w)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)[1:]  # after the comment
ANEW = "`make lock` solves pyproject.toml anew"


class Pin(NamedTuple):
    requirement: Requirement
    hashes: list[str]
    wanted_by: set[str]  # names of packages; the project's own is among them

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> Version:
        return Version(str(self.requirement.specifier).removeprefix("=="))


def _pin(block: str) -> Pin:
    head, _, via = block.partition("# via")
    requirement = Requirement(head.splitlines()[0].removesuffix("\\"))
    names = re.findall(r"^[ #]+([\w.-]+)", via, flags=re.MULTILINE)
    return Pin(requirement, re.findall(r"--hash=(\S+)", head), {canonicalize_name(name) for name in names})


PINS = [_pin(block) for block in LOCKED]


def _versions(python: str = "{}.{}".format(*sys.version_info)) -> dict[str, Version]:
    """What is locked for a Python on this machine, by canonical name."""
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    marked = [(pin, pin.requirement.marker) for pin in PINS]
    pins = [pin for pin, marker in marked if marker is None or marker.evaluate(environment)]
    assert len({pin.name for pin in pins}) == len(pins), "two versions of one package"
    return {pin.name: pin.version for pin in pins}


def test_every_pin_is_one_version_with_its_hashes() -> None:
    for pin in PINS:
        assert re.fullmatch(r"==[\w.]+", str(pin.requirement.specifier)), pin.requirement
        assert pin.requirement.url is None
        assert pin.hashes, pin.requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in pin.hashes), pin.requirement


@pytest.mark.parametrize("python", PYTHONS)
def test_the_pins_lie_inside_the_ranges_of_pyproject(python: str) -> None:
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)
    versions = _versions(python)
    for entry in [*WANTED, *map(Requirement, PYPROJECT["build-system"]["requires"])]:
        version = versions.get(canonicalize_name(entry.name))
        assert version is not None, f"{entry.name} is not locked: {ANEW}"
        assert version in entry.specifier, f"{entry.name}=={version} is outside {entry.specifier}: {ANEW}"


def test_every_pin_is_wanted() -> None:
    names = {pin.name for pin in PINS if PROJECT["name"] in pin.wanted_by}
    assert names == {canonicalize_name(entry.name) for entry in WANTED}, ANEW
    reached: set[str] = set()
    while names - reached:
        reached |= names
        names = {pin.name for pin in PINS if pin.wanted_by & reached}
    assert {pin.name for pin in PINS} - reached == set(), f"nothing wants them: {ANEW}"


def test_conda_has_the_pins_of_the_lock() -> None:
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    python = next(entry for entry in conda if isinstance(entry, str) and entry.startswith("python="))
    locked = _versions(python.removeprefix("python=").rpartition(".")[0])
    pins = dict(line.split("==") for line in next(entry for entry in conda if isinstance(entry, dict))["pip"])
    assert pins == {
        name: str(locked[name]) for name in (entry.name for entry in map(Requirement, PROJECT["dependencies"]))
    }


@pytest.mark.skipif(not (Path(sys.prefix) / "pinned.txt").exists(), reason="not an environment that make installed")
def test_what_is_installed_is_what_is_locked() -> None:
    """Everything that the project needs here, through all that its packages need; what else is there is the user's."""
    locked = _versions()
    installed: dict[str, Version] = {}
    asked: set[tuple[str, str]] = set()
    to_ask = [(canonicalize_name(entry.name), extra) for entry in WANTED for extra in ("", *entry.extras)]
    while to_ask:
        name, extra = to_ask.pop()
        if (name, extra) in asked:
            continue
        asked.add((name, extra))
        distribution = metadata.distribution(name)
        installed[name] = Version(Version(distribution.version).public)  # of a local build: without its label
        for entry in map(Requirement, distribution.requires or []):
            if entry.marker is None or entry.marker.evaluate({"extra": extra}):
                to_ask += [(canonicalize_name(entry.name), more) for more in ("", *entry.extras)]
    differing = {name: f"{version}, locked: {locked.get(name)}" for name, version in installed.items()}
    assert {name: line for name, line in differing.items() if installed[name] != locked.get(name)} == {}


def test_the_readme_names_the_pythons_that_were_tried() -> None:
    assert f"{', '.join(PYTHONS[:-1])} and {PYTHONS[-1]}" in (ROOT / "README.md").read_text()
