"""Variants that attend: what their tokens are, what padding does, and through what sound and picture meet."""

import math

import pytest
import torch
from torch import Tensor, nn

from avfusion.fusion import FusionNetwork, Shape, build, variants
from avfusion.fusion.attention import Attention, positions, stretch_means
from avfusion.fusion.bottleneck import BottleneckFusion
from avfusion.fusion.hyperparameters import resolve

SHAPE = Shape(audio_dim=5, video_dim=7, n_frames=8, n_classes=3)
ATTENDING = [variant for variant in variants().values() if variant.masks_padding]


def make(variant: type[FusionNetwork], **given: str) -> FusionNetwork:
    torch.manual_seed(0)
    params = {"hidden": "8", "heads": "2", "tokens": "4", **given}
    return build(variant, SHAPE, resolve(variant.hyperparameters, params)).eval()


def features(n_clips: int = 3, n_frames: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n_clips, n_frames, 5, generator=generator), torch.randn(
        n_clips, n_frames, 7, generator=generator
    )


@pytest.mark.parametrize("variant", ATTENDING, ids=[variant.id for variant in ATTENDING])
@pytest.mark.parametrize("length", [1, 3, 4])
def test_a_padded_clip_is_answered_as_by_itself(variant: type[FusionNetwork], length: int) -> None:
    network, (audio, video) = make(variant), features()
    padded_audio, padded_video = audio.clone(), video.clone()
    padded_audio[1:, length:] = padded_video[1:, length:] = torch.nan
    scores = network(padded_audio, padded_video)
    torch.testing.assert_close(scores[1:], network(audio[1:, :length], video[1:, :length]))
    torch.testing.assert_close(scores[:1], network(audio[:1], video[:1]))
    for name, values in network.diagnostics(padded_audio, padded_video).items():
        alone = network.diagnostics(audio[1:, :length], video[1:, :length])[name]
        torch.testing.assert_close(values[1:], alone)


@pytest.mark.parametrize("variant", ATTENDING, ids=[variant.id for variant in ATTENDING])
def test_sound_and_picture_may_differ_in_length(variant: type[FusionNetwork]) -> None:
    audio, video = features()
    scores = make(variant)(audio, video[:, :5])
    assert scores.shape == (3, 3) and bool(scores.isfinite().all())
    with_padding = torch.cat([video[:, :5], torch.full((3, 3, 7), torch.nan)], 1)
    torch.testing.assert_close(make(variant)(audio, with_padding), scores)


def test_stretches() -> None:
    frames = torch.tensor(
        [[[1.0], [3.0], [5.0], [7.0], [9.0]], [[2.0], [math.nan], [math.nan], [math.nan], [math.nan]]]
    )
    means, padding = stretch_means(frames, 2)
    assert means.tolist() == [[[2.0], [6.0], [9.0]], [[2.0], [0.0], [0.0]]]
    assert padding is not None and padding.tolist() == [[False] * 3, [False, True, True]]
    means, padding = stretch_means(frames[:1, :4], 2)
    assert means.tolist() == [[[2.0], [6.0]]] and padding is None


def test_positions_are_sines_and_cosines() -> None:
    found = positions(5, 3)
    rates = [1.0, 1.0, 10_000.0 ** (-2 / 3)]
    for position in range(5):
        expected = [math.sin(position * rates[0]), math.cos(position * rates[1]), math.sin(position * rates[2])]
        assert found[position].tolist() == pytest.approx(expected, abs=1e-6)


def test_attention_is_that_of_torch() -> None:
    """With biases of the keys of 0, which change nothing."""
    torch.manual_seed(0)
    ours, theirs = Attention(8, 2), nn.MultiheadAttention(8, 2, batch_first=True)
    parts = [ours.query.weight, ours.key.weight, ours.value.weight]
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat(parts))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, torch.zeros(8), ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    tokens, context = torch.randn(3, 4, 8), torch.randn(3, 5, 8)
    padding = torch.arange(5) >= torch.tensor([5, 3, 1])[:, None]
    expected, weights = theirs(tokens, context, context, key_padding_mask=padding)
    torch.testing.assert_close(ours(tokens, context, padding), expected)
    torch.testing.assert_close(ours.weights(tokens, context, padding), weights)


def sound_reaching_the_picture(network: FusionNetwork) -> float:
    """The largest derivative of the picture's classified token with respect to a value of the sound."""
    assert isinstance(network, BottleneckFusion)
    audio, video = features()
    audio.requires_grad_()
    _, picture = network.classified(audio, video)
    (gradient,) = torch.autograd.grad((picture * torch.randn(8)).sum(), audio, allow_unused=True)
    return 0.0 if gradient is None else float(gradient.abs().max())


def cut(network: FusionNetwork, n_bottlenecks: int) -> None:
    """Take the sound's update out of the bottlenecks of every layer, but leave its tokens as they are."""
    for layer in network.get_submodule("audio.layers").children():
        layer.register_forward_hook(
            lambda _, __, both: torch.cat([both[:, :-n_bottlenecks], both[:, -n_bottlenecks:].detach()], 1)
        )


def test_the_bottlenecks_are_the_only_way_from_sound_to_picture() -> None:
    """None without bottlenecks; with them, through their tokens alone, and one layer after what was put in."""
    assert sound_reaching_the_picture(make(BottleneckFusion, bottlenecks="0")) == 0
    network = make(BottleneckFusion, bottlenecks="2")
    assert sound_reaching_the_picture(network) > 1e-5
    cut(network, 2)
    assert sound_reaching_the_picture(network) == 0


def test_layers_before_the_bottlenecks_exchange_nothing() -> None:
    audio, video = features()
    network = make(BottleneckFusion, unimodal_layers="2")
    assert isinstance(network, BottleneckFusion)
    sound, picture, bottlenecks = network._run(audio, video, 2)
    _, same, _ = network._run(audio + 1, video, 2)
    assert torch.equal(picture.tokens, same.tokens) and bottlenecks.shape[1] == 0
    assert sound.tokens.shape == (3, 1 + 4, 8)
