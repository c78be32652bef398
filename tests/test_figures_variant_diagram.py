import pytest
import torch
from matplotlib.patches import FancyBboxPatch
from torch import Tensor, nn

from avfusion.figures.variant_diagram import STUDY, variant_diagram
from avfusion.figures.variant_flow import variant_flow
from avfusion.figures.variant_steps import Step
from avfusion.fusion import FusionNetwork, Shape, variants
from avfusion.fusion.attention import Layer

SMALL = Shape(audio_dim=6, video_dim=5, n_frames=4, n_classes=3)
"""Of networks that are drawn for their boxes alone."""


def boxes(variant: type[FusionNetwork], shape: Shape = SMALL) -> dict[str, Step]:
    """The boxes of a variant by what stands in them."""
    return {", ".join(step.texts): step for step in variant_flow(variant, shape)}


def test_late_fusion_is_that_of_the_study() -> None:
    steps = variant_flow(variants()["late"], STUDY)
    for modality, noun in (("audio", "sound"), ("video", "picture")):
        first, second, third = [step for step in steps if step.zone == modality]
        assert first.texts == [f"{noun} 96 × 512", "mean over time"]
        assert second.texts == ["Linear 512 → 512", "BatchNorm", "ReLU", "Dropout 0.2", "Linear 512 → 128"]
        assert third.texts == ["Linear 128 → 256", "Linear 256 → 10", "× 0.5"]
        assert (second.sources, third.sources) == ([first], [second])
        assert (first.size, second.size, third.size) == ((512,), (128,), (10,))
    (mixed, scores) = [step for step in steps if step.zone == "both"]
    assert mixed.texts == ["+"] and {source.zone for source in mixed.sources} == {"audio", "video"}
    assert (scores.texts, scores.sources) == (["scores"], [mixed])


def test_a_gate_looks_at_both_and_is_taken_twice() -> None:
    steps = variant_flow(variants()["gated"], SMALL)
    (gate,) = [step for step in steps if "sigmoid" in step.texts]
    assert gate.texts[0] == "concatenated: 11" and {source.zone for source in gate.sources} == {"audio", "video"}
    heirs = [step.texts for step in steps if gate in step.sources]
    assert heirs == [["×"], ["1 −"]]


def test_modalities_meet_in_the_bottlenecks_alone() -> None:
    steps = variant_flow(variants()["bottleneck"], SMALL)
    for step in steps:
        if step.zone in ("audio", "video"):
            assert {source.zone for source in step.sources} <= {step.zone, "both"}
    (bottlenecks,) = [step for step in steps if step.texts == ["bottlenecks"]]
    assert sum(bottlenecks in step.sources for step in steps) == 2


@pytest.mark.parametrize("name", variants())
def test_layers_with_weights_are_all_drawn_once(name: str) -> None:
    """By the boxes' own words: as many Linear layers, and layers of transformers, as the network answers with.

    What `two_stage` calls `classify` is for its training alone.
    """
    texts = [text for step in variant_flow(variants()[name], SMALL) for text in step.texts]
    with torch.device("meta"):
        defaults = {key: entry.default for key, entry in variants()[name].hyperparameters.items()}
        network = variants()[name](SMALL, **defaults)
    closed = [module for module in network.modules() if module is not network and _is_closed(module, network)]
    inside = {id(child) for module in closed for child in module.modules() if child is not module}
    inside |= {
        id(layer) for key, part in network.named_modules() if key.endswith("classify") for layer in part.modules()
    }
    linear = [module for module in network.modules() if isinstance(module, nn.Linear) and id(module) not in inside]
    assert sum(text.startswith("Linear") for text in texts) == len(linear)
    assert sum(text.startswith("Layer of") for text in texts) == sum(isinstance(module, Layer) for module in closed)


def _is_closed(module: nn.Module, network: nn.Module) -> bool:
    """Whether another file of ours defines it."""
    return type(module).__module__.startswith("avfusion") and type(module).__module__ != type(network).__module__


@pytest.mark.parametrize("name", variants())
def test_texts_stay_in_their_boxes_and_boxes_apart(name: str) -> None:
    figure = variant_diagram(variants()[name], SMALL)
    figure.canvas.draw()
    (axes,) = figure.axes
    patches = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    extents = [patch.get_window_extent() for patch in patches]
    texts = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert len(texts) == len(extents) > 2
    for box, text in zip(extents, texts, strict=True):
        assert box.x0 <= text.x0 and text.x1 <= box.x1 and box.y0 <= text.y0 and text.y1 <= box.y1
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in extents if other is not box)


def test_a_new_variant_needs_no_drawing() -> None:
    class Larger(FusionNetwork):
        id, title, source = "larger", "the larger score", "an example"

        def __init__(self, shape: Shape) -> None:
            super().__init__()
            self.audio = nn.Linear(shape.audio_dim, shape.n_classes)
            self.video = nn.Linear(shape.video_dim, shape.n_classes)

        def forward(self, audio: Tensor, video: Tensor) -> Tensor:
            return torch.maximum(self.audio(audio.mean(1)), self.video(video.mean(1)))

    found = boxes(Larger)
    assert list(found) == [
        "sound 4 × 6, mean over time", "Linear 6 → 3", "picture 4 × 5, mean over time", "Linear 5 → 3", "maximum",
        "scores",
    ]  # fmt: skip
