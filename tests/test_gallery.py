"""The gallery and the diagrams of the docs are whole, of today, and small."""

import pytest
from PIL import Image

from avfusion import figures
from avfusion.figures.variant_diagram import variant_diagram
from avfusion.fusion import variants
from docs.making.gallery import DOCS, PAGE, PICTURES, described, diagrams, page, steps
from entrypoints.entry_points import ENTRY_POINTS

ANEW = "make gallery"
EXHIBITS = [exhibit for step in steps() for exhibit in step.exhibits]
WITHOUT_PICTURES = {"extract", "export", "pretrain"}
"""Entry points that draw nothing that another does not: `main` extracts, and the report has pretraining's L3-Net."""


def test_the_page_is_that_of_the_table() -> None:
    assert PAGE.read_text() == page(), ANEW


def test_every_figure_is_shown() -> None:
    shown = {exhibit.figure for exhibit in EXHIBITS if exhibit.figure} | {"variant_diagram"}
    assert shown == set(figures.__all__)


def test_every_entry_point_is_shown() -> None:
    shown = {step.command.split()[2].partition(".")[2] for step in steps()}
    assert shown == set(ENTRY_POINTS) - WITHOUT_PICTURES


def test_pictures_are_there_and_small() -> None:
    wanted = {PICTURES / f"{exhibit.name}.png" for exhibit in EXHIBITS} | set(diagrams().values())
    there = set(PICTURES.rglob("*.png"))
    assert there == wanted, ANEW
    assert sum(file.stat().st_size for file in there) < 3e6


@pytest.mark.parametrize("name", variants())
def test_a_variants_diagram_is_of_today(name: str) -> None:
    """By what is written in it, which its file keeps."""
    with Image.open(diagrams()[name]) as picture:
        assert picture.info["Description"] == described(variant_diagram(variants()[name])), ANEW
    shown = f"\n### {name}\n\n![Diagram of {name}]({diagrams()[name].relative_to(DOCS)})\n"
    assert shown in (DOCS / "fusion.md").read_text()
