"""The pages of the site that do not lie in docs/, for MkDocs (mkdocs.yml names this file as its hook).

Pages of the repository outside docs/ are taken as they are. Links between files, which lead from one to the other where
the repository is browsed, are turned into links between pages. The API reference has a page for each room.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "avfusion/embedders/yamnet/README.md": "models/yamnet.md",
    "avfusion/embedders/yamnet/NOTICE": "models/yamnet-notice.txt",
    "avfusion/embedders/efficientnet_lite0/README.md": "models/efficientnet_lite0.md",
    "avfusion/embedders/efficientnet_lite0/NOTICE": "models/efficientnet_lite0-notice.txt",
    "avfusion/l3/weights_demo/README.md": "models/demo.md",
}
"""Files of the repository, and what they are in the site."""

API = "api.md"
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)")
ROOM = re.compile(r"^  (\w+)(?:\.py|/) ", re.MULTILINE)
"""A line of the README's map."""


def rooms() -> list[str]:
    """Names of the rooms, in the order of the README's map."""
    return ROOM.findall((ROOT / "README.md").read_text())


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The API reference has its rooms below it."""
    assert config.nav is not None
    for entry in config.nav:
        if API in entry.values():
            (title,) = entry
            entry[title] = [{"Overview": API}, *(f"api/{room}.md" for room in rooms())]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Pages outside docs/, and those of the rooms."""
    for source, target in OUTSIDE.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    for room in rooms():
        files.append(File.generated(config, f"api/{room}.md", content=_of_room(room)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The text of a page with links to pages where it has links to files."""
    if (source := page.file.abs_src_path) is None:
        return markdown
    places = {Path(file.abs_src_path): file.src_uri for file in files if file.abs_src_path}
    folder = posixpath.dirname(page.file.src_uri)

    def linked(link: re.Match[str]) -> str:
        target = places.get((Path(source).parent / link[2]).resolve())
        return link[1] + (posixpath.relpath(target, folder or ".") if target else link[2])

    return LINK.sub(linked, markdown)


def _of_room(room: str) -> str:
    """The page of a room: each of its modules with its public names."""
    base = ROOT / "avfusion" / room
    modules = sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
    names = [".".join(module.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for module in modules]
    return "\n\n".join([f"# {room}", *(f"::: {name}" for name in names)]) + "\n"
