"""The docs as a site: built as `make docs` builds it, and seen in a browser, from the disk."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

browsers = pytest.importorskip("tests.browser", reason="selenium is not installed")
ROOT = Path(__file__).parents[1]
FETCHED = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//")
"""A tag that lets a browser ask another machine."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder. A link or an anchor that leads nowhere, a page that is not in the navigation, or any other warning
    of the builder's, is an error. Docstrings are left out, which takes long: CI does it by `make docs`.
    """
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    environment = os.environ | {"AVFUSION_API_REFERENCE": "false", "NO_MKDOCS_2_WARNING": "true"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_no_page_asks_for_anything_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    assert [page.name for page in pages if FETCHED.search(page.read_text())] == []


def test_every_module_is_in_the_reference(site: Path) -> None:
    for path in (ROOT / "avfusion").glob("*/**/*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        assert re.search(rf"::: {name}(?![\w.])", (site / "api" / f"{parts[1]}.html").read_text()), name


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if browsers.programs() is None:
        pytest.skip("Chromium or its driver is not installed")
    pictures = Path(os.environ.get("AVFUSION_PICTURES", tmp_path_factory.mktemp("pictures"))).absolute()
    pictures.mkdir(parents=True, exist_ok=True)
    with browsers.browser(pictures) as opened:
        yield opened


TYPE = """
const input = document.querySelector('.md-search__input');
input.focus();
input.value = arguments[0];
input.dispatchEvent(new Event('keyup'));
"""

RESULTS = """
const links = [...document.querySelectorAll('.md-search-result__link')];
return links.length && links.map(link => link.getAttribute('href'));
"""


def test_the_search_finds_a_word(site: Path, browser: Any) -> None:
    browser.resize(1300, 900)
    browser.open((site / "start.html").as_uri())
    browser.wait("return document.querySelector('.md-search__input')")
    browser.js(TYPE, "jackknife")
    found = browser.wait(RESULTS)
    browser.picture("docs-search")
    assert any("comparing.html" in link for link in found)


TELEPHONE = 390
"""Pixels."""
WIDE = "return document.documentElement.scrollWidth;"


def test_no_page_is_wider_than_a_telephone(site: Path, browser: Any) -> None:
    """Wide tables and programs scroll by themselves."""
    browser.resize(TELEPHONE, 800)
    widths = {}
    for page in site.glob("*.html"):
        browser.open(page.as_uri())
        widths[page.name] = browser.js(WIDE)
    assert len(widths) > 15
    assert {name: width for name, width in widths.items() if width > TELEPHONE} == {}
