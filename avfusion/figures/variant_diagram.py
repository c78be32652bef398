"""A fusion variant as a diagram: its boxes and arrows, with the sizes that a clip's values have in it."""

import textwrap
from collections import defaultdict
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from avfusion.figures.style import (
    AUDIO_COLOUR,
    BOTH_COLOUR,
    COLUMN_WIDTH,
    SMALL_SIZE,
    VIDEO_COLOUR,
    new_axes,
)
from avfusion.figures.variant_flow import variant_flow
from avfusion.figures.variant_steps import Step, in_words
from avfusion.fusion import FusionNetwork, Shape

STUDY = Shape(audio_dim=512, video_dim=512, n_frames=96, n_classes=10)
"""The features of the study."""

ZONES = {"video": (VIDEO_COLOUR, "white"), "both": (BOTH_COLOUR, "black"), "audio": (AUDIO_COLOUR, "black")}
"""From left to right: colour of the boxes, and of their text."""
WIDEST, NARROWEST = 1.95, 0.95
"""Inches of a box."""
LINE, PADDING, GAP = 0.125, 0.12, 0.3
"""Inches: height of a line of text, what a box adds to its lines, and between two rows."""
LINES = "#404040"
CHARACTER = 0.056
"""Inches of a character, on average."""


@dataclass(eq=False)
class _Node:
    """A box at its place, or (without a step) where an arrow passes by the boxes of a row."""

    row: int
    zone: str
    step: Step | None = None
    above: list["_Node"] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    lines: list[str] = field(default_factory=list)


def variant_diagram(variant: type[FusionNetwork], shape: Shape = STUDY) -> Figure:
    """What `variant` computes with its default hyperparameters from clips of `shape`, read off the network itself.

    Pictures come in at the left and sound at the right. A box names its layers in their order and, below, the size of
    what it gives for one clip.
    """
    rows = _placed(variant_flow(variant, shape))
    width = max(COLUMN_WIDTH, max(node.x + node.width / 2 for row in rows for node in row) + 0.1)
    lowest = min(node.y - node.height / 2 for row in rows for node in row)
    figure, axes = new_axes(width, 0.45 - lowest, f"{variant.title} ({variant.id})")
    axes.set_xlim(0, width)
    axes.set_ylim(lowest - 0.05, 0.05)
    axes.set_axis_off()
    for row in rows:
        for node in row:
            for above in node.above:
                _arrow(axes, above, node)
            if node.step:
                _box(axes, node)
            else:
                ends = node.y + node.height / 2, node.y - node.height / 2
                axes.plot([node.x, node.x], ends, linewidth=0.8, color=LINES, zorder=1)
    return figure


def _placed(steps: list[Step]) -> list[list[_Node]]:
    """All nodes by rows from top to bottom, in inches from the upper left corner."""
    rows = _rows(steps)
    side = max(_width(_cell(row, zone)) for row in rows for zone in ("video", "audio"))
    beside = [row for row in rows if _cell(row, "video") or _cell(row, "audio")]
    centre = max(_width(_cell(row, "both")) for row in beside)
    two = all(any(_cell(row, zone) for row in rows) for zone in ("video", "audio"))
    widest = max(2 * side + centre if two else side + centre, *(_width(_cell(row, "both")) for row in rows))
    middles = {"video": side / 2, "both": widest / 2, "audio": widest - side / 2}
    top = 0.0
    for row in rows:
        height = max(node.height for node in row)
        for zone, middle in middles.items():
            cell = _cell(row, zone)
            cell.sort(key=lambda node: sum(above.x for above in node.above) / max(len(node.above), 1))
            left = middle - _width(cell) / 2
            for node in cell:
                node.x, node.y = left + _width([node]) / 2, top - height / 2
                node.height = node.height or height  # an arrow passes by the whole row
                left += _width([node])
        top -= height + GAP
    return rows


def _rows(steps: list[Step]) -> list[list[_Node]]:
    """A node for each step, in the row below all that it takes, and one in each row that an arrow passes by."""
    nodes: dict[Step, _Node] = {}
    for step in steps:
        row = max((nodes[source].row + 1 for source in step.sources if source.kind != "weights"), default=0)
        nodes[step] = _node(step, row)
        for source in step.sources:
            if source.kind == "weights":
                nodes[source].row = max(row - 1, 0)
    rows: dict[int, list[_Node]] = defaultdict(list)
    for step, node in nodes.items():
        for source in step.sources:
            above = nodes[source]
            zone = source.zone if source.zone == step.zone else "both"
            for row in range(above.row + 1, node.row):
                above = _Node(row, zone, above=[above])
                rows[row].append(above)
            node.above.append(above)
        rows[node.row].append(node)
    return [rows[row] for row in sorted(rows)]


def _node(step: Step, row: int) -> _Node:
    lines = textwrap.wrap(", ".join(step.texts), int(WIDEST / CHARACTER))
    if step.kind != "input" or len(step.texts) > 1:
        lines.append(in_words(step.size))
    width = max(NARROWEST, max(map(len, lines)) * CHARACTER + 0.2)
    return _Node(row, step.zone, step, width=width, height=len(lines) * LINE + PADDING, lines=lines)


def _cell(row: list[_Node], zone: str) -> list[_Node]:
    return [node for node in row if node.zone == zone]


def _width(cell: list[_Node]) -> float:
    """Inches of nodes side by side, with the space around them."""
    return sum(node.width + 0.16 for node in cell)


def _box(axes: Axes, node: _Node) -> None:
    assert node.step is not None
    colour, ink = ZONES[node.zone] if node.step.kind != "weights" else ("white", "black")
    axes.add_patch(
        FancyBboxPatch(
            (node.x - node.width / 2, node.y - node.height / 2), node.width, node.height,
            boxstyle="round,pad=0,rounding_size=0.04", facecolor=colour, edgecolor=LINES, linewidth=0.6, zorder=2,
        )
    )  # fmt: skip
    axes.text(node.x, node.y, "\n".join(node.lines), ha="center", va="center", fontsize=SMALL_SIZE, color=ink, zorder=3)


def _arrow(axes: Axes, above: _Node, node: _Node) -> None:
    """From the lower edge of `above` to the upper edge of `node`."""
    style = {"linewidth": 0.8, "color": LINES, "shrinkA": 0, "shrinkB": 0}
    axes.annotate(
        "", (node.x, node.y + node.height / 2), (above.x, above.y - above.height / 2),
        arrowprops={"arrowstyle": "-|>" if node.step else "-", **style}, zorder=1,
    )  # fmt: skip
