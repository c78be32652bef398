"""The gallery: what is in it, and the page docs/gallery.md that shows it. `make gallery` makes both anew."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text

from avfusion.fusion import variants

DOCS = Path(__file__).parents[1]
PAGE = DOCS / "gallery.md"
PICTURES = DOCS / "pictures"


@dataclass(frozen=True)
class Exhibit:
    """A picture, and where the run leaves it."""

    name: str
    """Of its file in `PICTURES`, without `.png`."""
    found: str
    """`run NAME: PATH`, among the artifacts of the newest run of that name; `file: PATH`, in the folder of the run;
    `page run NAME: PATH` or `page file: PATH`, of an HTML page there; `view:` or `charts:`, MLflow's at the address
    that the command prints last."""
    caption: str
    figure: str = ""
    """The function of `avfusion.figures` that draws it; empty for what others draw."""


@dataclass(frozen=True)
class Step:
    """A command, and what it shows."""

    title: str
    command: str
    """What a shell runs; AUDIO_RUN, VIDEO_RUN and FUSED_RUN stand for ids of runs."""
    said: str
    exhibits: tuple[Exhibit, ...]


HEAD = """
# Gallery

Every figure and page that avfusion makes, from one run on **synthetic** scenes: they show what things look like, and
say nothing about real scenes. `make gallery` runs the commands below in a temporary folder, one after the other, and
makes this page and its pictures anew. The diagrams of the variants are on
[their own page](fusion.md#every-variant-as-a-diagram).
"""


def steps() -> list[Step]:
    """All of gallery.toml."""
    entries = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["step"]
    return [Step(exhibits=tuple(Exhibit(**one) for one in entry.pop("exhibit")), **entry) for entry in entries]


def page() -> str:
    """The text of docs/gallery.md."""
    blocks = [HEAD.strip()]
    for step in steps():
        blocks += [f"## {step.title}", step.said, f"```bash\n{step.command}\n```"]
        for exhibit in step.exhibits:
            blocks += [f"![{exhibit.caption}]({PICTURES.name}/{exhibit.name}.png)", f"*{exhibit.caption}.*"]
    return "\n\n".join(blocks) + "\n"


def diagrams() -> dict[str, Path]:
    """Where the diagram of each variant is, by id."""
    return {name: PICTURES / "variants" / f"{name}.png" for name in variants()}


def described(figure: Figure) -> str:
    """All that is written in a figure, line by line."""
    texts = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    return "\n".join(filter(None, texts))
