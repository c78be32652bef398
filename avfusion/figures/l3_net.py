"""The Look, Listen and Learn network as a diagram (Arandjelovic & Zisserman 2017; Figure 1 of the study)."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from avfusion.figures.style import (
    AUDIO_COLOUR,
    COLUMN_WIDTH,
    MUTED_COLOUR,
    SMALL_SIZE,
    TEXT_SIZE,
    VIDEO_COLOUR,
    new_axes,
)
from avfusion.l3.network import Subnetwork
from avfusion.l3.presets import WINDOW, L3Config, SubnetworkConfig

COLUMNS = {"image": (0.25, VIDEO_COLOUR, "white"), "audio": (0.75, AUDIO_COLOUR, "black")}
"""Branch: centre of its column, colour of its boxes, colour of their text."""
BOX_WIDTH, BOX_HEIGHT = 0.44, 0.62


def l3_net(config: L3Config, title: str = "L3-Net") -> Figure:
    """Both subnetworks from input to embedding, then what pretraining adds: joined, classified as matching or not.

    The sizes are those that tensors have inside the network of `config`.
    """
    layers = {"image": subnetwork_layers(config.image), "audio": subnetwork_layers(config.audio)}
    inputs = {"image": "one video frame", "audio": f"one second of sound\n({WINDOW:,} samples), log-mel spectrogram"}
    rows = max(len(names) for names in layers.values())
    figure, axes = new_axes(COLUMN_WIDTH + 1.3, 0.56 * (rows + 3) + 0.5, title)
    axes.set_xlim(0, 1)
    axes.set_ylim(rows + 2.1, -0.7)
    axes.set_axis_off()
    for branch, (centre, colour, ink) in COLUMNS.items():
        axes.text(centre, -0.35, inputs[branch], ha="center", va="bottom", fontsize=SMALL_SIZE)
        for row, text in enumerate(layers[branch]):
            _box(axes, centre, row, text, colour, ink)
            if row:
                _arrow(axes, (centre, row - 1), (centre, row))
        _arrow(axes, (centre, rows - 1), (0.5, rows + 0.35), clearance=0.33)
    sizes = [config.image.embedding_size, config.audio.embedding_size]
    _box(axes, 0.5, rows + 0.35, f"concatenated: {sum(sizes)}", "white", "black")
    _box(axes, 0.5, rows + 1.35, "small classifier:\nsame clip, or not?", "white", "black")
    _arrow(axes, (0.5, rows + 0.35), (0.5, rows + 1.35))
    axes.text(
        0.5, rows + 1.85, "only for pretraining (audio-visual correspondence)", ha="center", va="top",
        fontsize=SMALL_SIZE, color=MUTED_COLOUR,
    )  # fmt: skip
    return figure


def subnetwork_layers(config: SubnetworkConfig) -> list[str]:
    """One text per box: the input, each block of two convolutions, the embedding, with the sizes that they give."""
    with torch.device("meta"):  # sizes without weights or arithmetic
        network = Subnetwork(config).eval()
        hidden = torch.empty(1, config.in_channels, *config.input_size)
    outputs: list[torch.Size] = []
    for convolution in network.convolutions:
        convolution.register_forward_hook(lambda module, inputs, output: outputs.append(output.shape))
    with torch.no_grad():
        embedding = network(hidden)
    texts = [f"input\n{_size(hidden.shape)}"]
    for block, channels in enumerate(config.block_channels, start=1):
        pool = "" if block == 1 else "max pooling 2×2, "
        texts.append(f"{pool}2 × conv 3×3, {channels}\n{_size(outputs[2 * block - 1])}")
    rows, columns = config.final_pool
    texts.append(f"max pooling {rows}×{columns}, flattened\nembedding: {embedding.shape[1]}")
    return texts


def _size(shape: torch.Size) -> str:
    _, channels, height, width = shape
    return f"{height} × {width} × {channels}"


def _box(axes: Axes, centre: float, row: float, text: str, colour: str, ink: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (centre - BOX_WIDTH / 2, row - BOX_HEIGHT / 2), BOX_WIDTH, BOX_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.015", facecolor=colour, edgecolor="#404040", linewidth=0.6,
        )
    )  # fmt: skip
    axes.text(centre, row, text, ha="center", va="center", fontsize=SMALL_SIZE, color=ink)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], clearance: float = 0.0) -> None:
    """From the lower edge of the box at `start` to the upper edge of the one at `end`."""
    axes.annotate(
        "", (end[0] + (start[0] - end[0]) * clearance, end[1] - BOX_HEIGHT / 2), (start[0], start[1] + BOX_HEIGHT / 2),
        arrowprops={"arrowstyle": "-|>", "linewidth": 0.8, "color": "#404040", "shrinkA": 0, "shrinkB": 0},
        fontsize=TEXT_SIZE,
    )  # fmt: skip
