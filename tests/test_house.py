"""The house keeps its order: rooms from top to bottom, no circles, each library in its room, every room introduced.

Read from the text of every file, so that an import within a function counts as one at the top, and one for type
checkers alone (`if TYPE_CHECKING:`) too: who must know the other's types depends on the other. What is found by folder
(layouts, embedders, variants: `pkgutil`) names nobody and does not count. Nor does it count that Python runs the
`__init__` of every folder above a module.
"""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = sorted({path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "avfusion").rglob("*.py")})

# The way of the data. A room imports rooms before it, and none after it.
ROOMS = (
    "errors",
    "system",
    "media",
    "datasets",
    "l3",
    "embedders",
    "features",
    "extraction",
    "pretraining",
    "scoring",
    "fusion",
    "training",
    "figures",
    "tuning",
    "serving",
    "tracking",
    "analysis",
    "report",
    "jobs",
)

# Who may import a library: these rooms and files.
HOMES = {
    "click": ("entrypoints",),
    "mlflow": ("avfusion.tracking", "avfusion.serving.model"),
    "optuna": ("avfusion.tuning",),
    "ray": ("avfusion.extraction.ray",),
    "transformers": ("avfusion.embedders.huggingface",),
    "huggingface_hub": ("avfusion.embedders.huggingface",),
}


def test_the_top_holds_the_rooms_and_little_else() -> None:
    entries = {path.name for path in (ROOT / "avfusion").iterdir() if path.name != "__pycache__"}
    loose = {name for name in entries if name.endswith(".py")}
    assert len(entries) <= 20
    assert len(loose) <= 5
    assert {name.removesuffix(".py") for name in entries - {"__init__.py"}} == set(ROOMS)


def test_no_file_imports_itself_by_a_detour() -> None:
    within_the_house = {file: {name for name in imports if name in files()} for file, imports in files().items()}
    TopologicalSorter(within_the_house).prepare()  # a circle is an error that names it


def test_a_room_imports_only_rooms_before_it() -> None:
    upwards = [
        f"{file} imports {imported}"
        for file, imports in files().items()
        for imported in imports
        if room(file) in ROOMS and room(imported) in ROOMS and ROOMS.index(room(imported)) > ROOMS.index(room(file))
    ]
    assert upwards == []


def test_the_house_does_not_know_who_calls_it() -> None:
    knowing = [file for file, imports in files().items() if any(within(name, "entrypoints") for name in imports)]
    assert [file for file in knowing if within(file, "avfusion")] == []


@pytest.mark.parametrize("library", HOMES)
def test_only_its_own_room_imports_a_library(library: str) -> None:
    importing = [file for file, imports in files().items() if any(within(name, library) for name in imports)]
    assert importing
    assert [file for file in importing if not any(within(file, home) for home in HOMES[library])] == []


def test_files_and_functions_can_be_seen_whole() -> None:
    paths = [path for top in ("avfusion", "entrypoints", "benchmarks") for path in (ROOT / top).rglob("*.py")]
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}
    functions = {
        f"{name}: {node.name}": node.end_lineno - node.lineno + 1
        for name, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    assert {name: n for name, text in texts.items() if (n := len(text.splitlines())) > 250} == {}
    assert {name: n for name, n in functions.items() if n > 60} == {}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_says_what_is_in_it_and_what_is_not(folder: str) -> None:
    words = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text())) or ""
    first, _, rest = words.partition(".")
    assert len(first) > 10
    assert re.search(r"\bNothing here\b", rest), words


@cache
def files() -> dict[str, set[str]]:
    """Module -> what it imports, for every file of the program."""
    paths = [path for top in ("avfusion", "entrypoints") for path in (ROOT / top).rglob("*.py")]
    known = {module(path) for path in paths}
    return {module(path): set(imports(ast.parse(path.read_text()), known.__contains__)) for path in paths}


def imports(tree: ast.Module, is_module: Callable[[str], bool]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if is_module(name) else node.module for name in names)


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(name: str) -> str:
    """The part of avfusion that a module lies in; nothing for others, and for avfusion itself (its version)."""
    top, _, rest = name.partition(".")
    return rest.partition(".")[0] if top == "avfusion" else ""


def within(name: str, home: str) -> bool:
    return name == home or name.startswith(f"{home}.")
