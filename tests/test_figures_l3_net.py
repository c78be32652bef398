import re

import pytest
import torch
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

from avfusion.figures.l3_net import l3_net, subnetwork_layers
from avfusion.l3.network import Subnetwork
from avfusion.l3.presets import L3Config, demo_config, openl3_config


def test_boxes_show_the_sizes_of_the_study() -> None:
    assert subnetwork_layers(openl3_config().image) == [
        "input\n224 × 224 × 3",
        "2 × conv 3×3, 64\n224 × 224 × 64",
        "max pooling 2×2, 2 × conv 3×3, 128\n112 × 112 × 128",
        "max pooling 2×2, 2 × conv 3×3, 256\n56 × 56 × 256",
        "max pooling 2×2, 2 × conv 3×3, 512\n28 × 28 × 512",
        "max pooling 28×28, flattened\nembedding: 512",
    ]
    audio = subnetwork_layers(openl3_config().audio)
    assert [text.split("\n")[1] for text in audio] == [
        "256 × 199 × 1", "256 × 199 × 64", "128 × 99 × 128", "64 × 49 × 256", "32 × 24 × 512", "embedding: 512",
    ]  # fmt: skip


def test_sizes_are_those_of_real_tensors() -> None:
    config = demo_config().audio
    network = Subnetwork(config).eval()
    inputs = torch.zeros(1, config.in_channels, *config.input_size)
    _, channels, height, width = network.feature_map(inputs).shape
    layers = subnetwork_layers(config)
    assert layers[-2].endswith(f"{height} × {width} × {channels}")
    assert layers[-1].endswith(f"embedding: {network(inputs).shape[1]}")


@pytest.mark.parametrize("config", [openl3_config(), openl3_config("linear", "music", 6144, 8192), demo_config()])
def test_nothing_is_clipped_and_texts_stay_in_their_boxes(config: L3Config) -> None:
    figure = l3_net(config)
    figure.canvas.draw()
    drawn = figure.get_tightbbox()
    assert drawn.x0 >= 0 and drawn.y0 >= 0
    assert drawn.x1 <= figure.get_figwidth() and drawn.y1 <= figure.get_figheight()
    (axes,) = figure.axes
    boxes = [patch.get_window_extent() for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    inside = [
        text.get_window_extent()
        for text in axes.texts
        if re.search(r"embedding|conv|^input|concat|classifier", text.get_text())
    ]
    assert len(inside) == 2 * 6 + 2
    for extent in inside:
        assert any(box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0 and extent.y1 <= box.y1
                   for box in boxes)  # fmt: skip
    sizes = config.image.embedding_size + config.audio.embedding_size
    assert f"concatenated: {sizes}" in [text.get_text() for text in figure.findobj(Text)]
