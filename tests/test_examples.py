"""The examples that people read run as they stand: those in docstrings, and those of docs/."""

import doctest
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from avfusion.fusion import Shape, build
from avfusion.fusion.base import FusionNetwork
from avfusion.training.experiment import hyperparameters
from tests.embedder_contract import check_pictures
from tests.stores import make_store

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]

# What people import has an example; so may have any other module.
IMPORTED = {
    "avfusion.l3.api",
    "avfusion.features.store",
    "avfusion.scoring.metrics",
    "avfusion.analysis.conflict",
    "avfusion.analysis.pairs",
}
WITH_EXAMPLES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "avfusion").rglob("*.py")
    if re.search(r"^\s*>>> ", path.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("name", sorted(WITH_EXAMPLES | IMPORTED))
def test_examples_in_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_store(tmp_path / "runs/features/NAME")
    monkeypatch.chdir(tmp_path)  # where the examples find runs/features/NAME
    result = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0 and result.attempted > 0


def names_of_the_example(number: int) -> dict[str, Any]:
    """What an example of docs/adding.md defines."""
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs/adding.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(examples[number], names)
    return names


def test_the_example_of_an_embedder(tmp_path: Path) -> None:
    (offer,) = (entry.video for entry in names_of_the_example(1)["EMBEDDERS"].values())

    def load(precision: str = "float32") -> Any:
        return offer.load(weights=None, precision=precision, device="cpu", **offer.options)

    check_pictures(load, tmp_path)


def test_the_example_of_a_variant() -> None:
    variant: type[FusionNetwork] = names_of_the_example(0)["MaximumFusion"]
    params = {name: entry.default for name, entry in hyperparameters(variant).items()}
    network = build(variant, Shape(audio_dim=5, video_dim=7, n_frames=3, n_classes=4), params)
    assert isinstance(network, nn.Module)
    assert network.eval()(torch.randn(2, 3, 5), torch.randn(2, 3, 7)).shape == (2, 4)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_files_that_are_there(page: Path) -> None:
    text = page.read_text()
    linked = [page.parent / target for target in re.findall(r"\]\((?!https?:)([^)#]+)", text)]
    quoted = [ROOT / name for name in re.findall(r"`((?:avfusion|entrypoints|tests|benchmarks|docs)/[\w/.-]*)`", text)]
    assert [str(path) for path in (*linked, *quoted) if not path.exists()] == []


def test_the_map_of_the_readme_is_complete() -> None:
    text = (ROOT / "README.md").read_text()
    mapped = re.findall(r"^  (\w+)(?:\.py|/) ", text, re.MULTILINE)
    rooms = [path.stem for path in (ROOT / "avfusion").iterdir() if not path.name.startswith("_")]
    assert sorted(mapped) == sorted(rooms)
    assert len(text.splitlines()) <= 150
