"""One battery that every registered variant must pass, and each variant against a forward pass written out."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, relu

from avfusion.errors import UserError
from avfusion.fusion import FusionNetwork, Shape, build, choose_variants, variants
from avfusion.fusion.hyperparameters import resolve
from avfusion.training.classifier import Description, SceneClassifier
from avfusion.training.fit import RECIPE, Examples, fit_stages
from avfusion.training.precision import check_precision
from avfusion.training.standardization import Standardize

SHAPE = Shape(audio_dim=10, video_dim=14, n_frames=6, n_classes=3)
FEATURES = {"embedder": {"name": "toy", "trained": False}}
ALL = list(variants().values())
battery = pytest.mark.parametrize("variant", ALL, ids=[variant.id for variant in ALL])


def make(
    variant: type[FusionNetwork], params: Mapping[str, str] | None = None, *, seed: int = 0, shape: Shape = SHAPE
) -> FusionNetwork:
    """A network with BatchNorm statistics that are not the neutral ones."""
    torch.manual_seed(seed)
    network = build(variant, shape, resolve(variant.hyperparameters, params or {}))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 2.0)
            torch.nn.init.normal_(module.bias)
    return network


def features(n_clips: int, seed: int = 1, shape: Shape = SHAPE) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(n_clips, shape.n_frames, shape.audio_dim, generator=generator),
        torch.randn(n_clips, shape.n_frames, shape.video_dim, generator=generator),
    )


@battery
def test_scores_have_the_right_shape_and_are_finite(variant: type[FusionNetwork]) -> None:
    scores = make(variant).eval()(*features(5))
    assert scores.shape == (5, 3)
    assert torch.isfinite(scores).all()


@battery
def test_every_parameter_gets_a_gradient(variant: type[FusionNetwork]) -> None:
    network, examples = make(variant), Examples(*features(8), torch.arange(8) % 3)
    touched: set[str] = set()
    for stage in network.stages():
        part = examples.single_frames() if stage.single_frames else examples
        network.zero_grad()
        stage.network.train()
        loss = torch.nn.functional.cross_entropy(stage.network(part.audio, part.video), part.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in stage.network.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        touched |= {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert touched == {name for name, _ in network.named_parameters()}


@battery
def test_order_of_a_batch_does_not_matter(variant: type[FusionNetwork]) -> None:
    network, (audio, video) = make(variant).eval(), features(6)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(network(audio[order], video[order]), network(audio, video)[order])


@battery
def test_only_its_modalities_matter(variant: type[FusionNetwork]) -> None:
    network, (audio, video), (other_audio, other_video) = make(variant).eval(), features(4), features(4, seed=2)
    scores = network(audio, video)
    assert torch.equal(scores, network(other_audio, video)) == ("audio" not in variant.modalities)
    assert torch.equal(scores, network(audio, other_video)) == ("video" not in variant.modalities)


@battery
def test_pooling_once_equals_pooling_inside(variant: type[FusionNetwork]) -> None:
    network, (audio, video) = make(variant).eval(), features(4)
    scores = network(audio, video)
    if variant.any_length:
        pooled = network(audio.mean(1, True), video.mean(1, True))
        assert torch.allclose(scores, pooled, atol=1e-5) == variant.pools_time
    else:
        assert not torch.allclose(scores, network(audio.flip(1), video.flip(1)), atol=1e-3)


@battery
def test_saved_and_loaded_is_equal(variant: type[FusionNetwork], tmp_path: Path) -> None:
    params = resolve({**RECIPE, **variant.hyperparameters}, {})
    generator = np.random.default_rng(0)
    standardize = [
        Standardize(generator.normal(size=d).astype(np.float32), generator.uniform(1, 2, d).astype(np.float32))
        for d in (SHAPE.audio_dim, SHAPE.video_dim)
    ]
    description = Description(variant.id, SHAPE, params, ("a", "b", "c"), FEATURES)
    classifier = SceneClassifier(description, standardize[0], standardize[1], build(variant, SHAPE, params)).eval()
    classifier.save(tmp_path / "saved")
    loaded = SceneClassifier.load(tmp_path / "saved")
    assert torch.equal(loaded(*features(4)), classifier(*features(4)))
    assert loaded.description == description


@battery
def test_same_seed_same_training(variant: type[FusionNetwork]) -> None:
    def history(seed: int) -> list[tuple[float, float]]:
        examples = Examples(*features(24), torch.arange(24) % 3)
        recipe = resolve(RECIPE, {"epochs": "3", "batch_size": "8"})
        epochs = fit_stages(make(variant), examples, examples, recipe, seed)
        return [(epoch.train_loss, epoch.val_loss) for epoch in epochs]

    assert history(0) == history(0) != history(1)


@battery
def test_trains_in_bf16_or_is_refused_before(variant: type[FusionNetwork]) -> None:
    examples = Examples(*features(24), torch.arange(24) % 3)

    def loss(precision: str) -> float:
        recipe = resolve(RECIPE, {"epochs": "2", "batch_size": "8", "precision": precision})
        *_, last = fit_stages(make(variant), examples, examples, recipe, 0)
        return last.train_loss

    try:
        check_precision([(variant, {"precision": "bf16"})], torch.device("cpu"))
    except UserError as refusal:  # no AVX-512, no bf16 LSTM
        reason = re.escape(str(refusal).partition("(")[2].partition(")")[0])
        with pytest.raises(RuntimeError, match=reason):
            loss("bf16")
        return
    losses = {precision: loss(precision) for precision in ("float32", "bf16")}
    assert losses["bf16"] != losses["float32"]
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.02)


@battery
def test_learns_classes_that_both_modalities_show(variant: type[FusionNetwork]) -> None:
    audio, video = features(96)
    labels = torch.arange(96) % 3
    audio[..., :3] += 3 * torch.eye(3)[labels][:, None]
    video[..., :3] += 3 * torch.eye(3)[labels][:, None]
    examples = Examples(audio, video, labels)
    recipe = resolve(RECIPE, {"epochs": "30", "batch_size": "16", "learning_rate": "0.003"})
    network = make(variant)
    list(fit_stages(network, examples, examples, recipe, 0))
    _, decisions = network.eval().answers(audio, video)
    assert (decisions == labels).float().mean() > 0.95


@battery
def test_hyperparameters_are_the_constructor_keywords(variant: type[FusionNetwork]) -> None:
    assert not set(variant.hyperparameters) & set(RECIPE)
    assert set(variant.recipe) <= set(RECIPE)
    assert variant.title and variant.source
    values = resolve(variant.hyperparameters, {})
    variant(SHAPE, **values)
    for name in values:
        with pytest.raises(TypeError):
            variant(SHAPE, **{key: value for key, value in values.items() if key != name})


def normed(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return batch_norm(x, mean, variance, weight, bias, training=False)


def linear(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def block(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return linear(state, f"{name}.4", relu(normed(state, f"{name}.1", linear(state, f"{name}.0", x))))


def output(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return linear(state, f"{name}.1", linear(state, f"{name}.0", x))


def plain_audio_only(state: dict[str, Tensor], audio: Tensor, video: Tensor) -> Tensor:
    return output(state, "output", block(state, "embed", audio.mean(1)))


def plain_video_only(state: dict[str, Tensor], audio: Tensor, video: Tensor) -> Tensor:
    return output(state, "output", block(state, "embed", video.mean(1)))


def plain_baseline(state: dict[str, Tensor], audio: Tensor, video: Tensor) -> Tensor:
    both = [block(state, "audio", audio.mean(1)), block(state, "video", video.mean(1))]
    return output(state, "output", torch.cat(both, 1))


def plain_early(state: dict[str, Tensor], audio: Tensor, video: Tensor) -> Tensor:
    return block(state, "joint", torch.cat([audio.mean(1), video.mean(1)], 1))


def plain_late(state: dict[str, Tensor], audio: Tensor, video: Tensor) -> Tensor:
    scores = [
        output(state, f"{name}.1", block(state, f"{name}.0", x.mean(1)))
        for name, x in (("audio", audio), ("video", video))
    ]
    return 0.7 * scores[0] + 0.3 * scores[1]


def plain_class_weighted_late(state: dict[str, Tensor], audio: Tensor, video: Tensor) -> Tensor:
    sound, picture = (
        output(state, f"{name}.1", block(state, f"{name}.0", x.mean(1)))
        for name, x in (("audio", audio), ("video", video))
    )
    return sound + state["video_weight"] * picture


def plain_flatten(state: dict[str, Tensor], audio: Tensor, video: Tensor) -> Tensor:
    both = [block(state, "audio", audio.flatten(1)), block(state, "video", video.flatten(1))]
    return output(state, "output", torch.cat(both, 1))


def recurrent(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """A 2-layer bidirectional LSTM, one frame at a time."""
    for layer in range(2):
        directions = []
        for suffix, frames in (("", range(x.shape[1])), ("_reverse", reversed(range(x.shape[1])))):
            w_in, w_hidden, b_in, b_hidden = (
                state[f"{name}.{part}_l{layer}{suffix}"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            h = c = torch.zeros(len(x), w_hidden.shape[1])
            states: dict[int, Tensor] = {}
            for t in frames:
                i, f, g, o = (x[:, t] @ w_in.T + b_in + h @ w_hidden.T + b_hidden).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = states[t] = o.sigmoid() * c.tanh()
            directions.append(torch.stack([states[t] for t in range(x.shape[1])], 1))
        x = torch.cat(directions, 2)
    return x


def plain_lstm(state: dict[str, Tensor], audio: Tensor, video: Tensor) -> Tensor:
    both = [
        block(state, f"{name}.embed", recurrent(state, f"{name}.lstm", x).flatten(1))
        for name, x in (("audio", audio), ("video", video))
    ]
    return output(state, "output", torch.cat(both, 1))


def plain_two_stage(state: dict[str, Tensor], audio: Tensor, video: Tensor) -> Tensor:
    embedded = []
    for name, x in (("audio", audio), ("video", video)):
        hidden = relu(normed(state, f"{name}.embed.1", linear(state, f"{name}.embed.0", x.flatten(0, 1))))
        embedded.append(linear(state, f"{name}.embed.4", hidden))
    frames = output(state, "output", torch.cat(embedded, 1)).softmax(1)
    return frames.view(len(audio), -1, 3).mean(1).log()


def plain_posthoc_late(state: dict[str, Tensor], audio: Tensor, video: Tensor) -> Tensor:
    sound, picture = (
        output(state, f"{name}.output", block(state, f"{name}.embed", x.mean(1))).softmax(1)
        for name, x in (("audio", audio), ("video", video))
    )
    return (0.4 * sound + 0.6 * picture).log()


PLAIN: dict[str, tuple[Callable[..., Tensor], dict[str, str]]] = {
    "audio_only": (plain_audio_only, {}),
    "video_only": (plain_video_only, {}),
    "baseline": (plain_baseline, {}),
    "early": (plain_early, {}),
    "late": (plain_late, {"alpha": "0.3"}),
    "class_weighted_late": (plain_class_weighted_late, {}),
    "flatten": (plain_flatten, {}),
    "lstm": (plain_lstm, {}),
    "two_stage": (plain_two_stage, {}),
    "posthoc_late": (plain_posthoc_late, {"rule": "alpha", "alpha": "0.6"}),
}


@battery
def test_equals_a_plain_forward_pass(variant: type[FusionNetwork]) -> None:
    plain, params = PLAIN[variant.id]
    network, (audio, video) = make(variant, params).eval(), features(7)
    torch.testing.assert_close(network(audio, video), plain(network.state_dict(), audio, video))


def n_block(n_in: int, n_out: int, hidden: int = 512) -> int:
    return n_in * hidden + hidden + 2 * hidden + hidden * n_out + n_out


def n_output(n_in: int, hidden: int, n_classes: int = 10) -> int:
    return n_in * hidden + hidden + hidden * n_classes + n_classes


def n_lstm(n_in: int, hidden: int) -> int:
    """Four gates, two biases each, two directions, two layers."""
    return sum(2 * 4 * hidden * (n + hidden + 2) for n in (n_in, 2 * hidden))


def n_frame_classifier(n_classes: int = 10) -> int:
    """BatchNorm(128), Linear(128, 64), BatchNorm(64), Linear(64, C)."""
    return 2 * 128 + 128 * 64 + 64 + 2 * 64 + 64 * n_classes + n_classes


COUNTS = {
    "audio_only": n_block(512, 128) + n_output(128, 128),
    "video_only": n_block(512, 128) + n_output(128, 128),
    "baseline": 2 * n_block(512, 128) + n_output(256, 128),
    "early": n_block(1024, 10, hidden=1024),
    "late": 2 * (n_block(512, 128) + n_output(128, 256)),
    "class_weighted_late": 2 * (n_block(512, 128) + n_output(128, 256)) + 10,
    "flatten": 2 * n_block(96 * 512, 128) + n_output(256, 128),
    "lstm": 2 * (n_lstm(512, 256) + n_block(96 * 512, 128)) + n_output(256, 128),
    "two_stage": 2 * (n_block(512, 128) + n_frame_classifier()) + n_output(256, 128),
    "posthoc_late": 2 * (n_block(512, 128) + n_output(128, 128)),
}


@battery
def test_parameter_count_at_the_study_size(variant: type[FusionNetwork]) -> None:
    with torch.device("meta"):
        network = build(variant, Shape(512, 512, 96, 10), resolve(variant.hyperparameters, {}))
    assert sum(parameter.numel() for parameter in network.parameters()) == COUNTS[variant.id]


def test_late_fusion_with_extreme_alpha_is_one_branch() -> None:
    late = variants()["late"]
    audio, video = features(4)
    other_audio, other_video = features(4, seed=2)
    sound, picture = make(late, {"alpha": "0"}).eval(), make(late, {"alpha": "1"}).eval()
    assert torch.equal(sound(audio, video), sound(audio, other_video))
    assert torch.equal(picture(audio, video), picture(other_audio, video))


def test_output_relu_is_an_option() -> None:
    baseline = variants()["baseline"]
    kinds = [type(module) for module in make(baseline, {"output_relu": "true"}).get_submodule("output").children()]
    assert kinds == [torch.nn.Linear, torch.nn.ReLU, torch.nn.Linear]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("late", "early"), ["late", "early"]),
        (("quick",), [v.id for v in ALL if v.quick]),
        (("all",), [v.id for v in ALL]),
    ],
)
def test_choosing_variants(names: tuple[str, ...], expected: list[str]) -> None:
    assert [variant.id for variant in choose_variants(names)] == expected


@pytest.mark.parametrize("names", [("latte",), ("late", "latte"), ("all", "late")])
def test_unknown_variant_lists_the_choices(names: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"unknown variant .*audio_only, baseline, class_weighted_late, early"):
        choose_variants(names)


def test_loading_a_damaged_classifier_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no usable classifier"):
        SceneClassifier.load(tmp_path)
    blank = [Standardize(np.zeros(10, np.float32), np.ones(10, np.float32)) for _ in range(2)]
    params = resolve({**RECIPE, **variants()["early"].hyperparameters}, {})
    description = Description("early", Shape(10, 10, 6, 3), params, ("a", "b", "c"), FEATURES)
    network = build(variants()["early"], description.shape, params)
    SceneClassifier(description, blank[0], blank[1], network).save(tmp_path)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match="holds no usable classifier"):
        SceneClassifier.load(tmp_path)
    with weights.open("rb+") as file:
        file.truncate(3 * 2**30)  # of which the disk holds next to nothing
    with pytest.raises(UserError, match=r"weights\.safetensors: 3,072 MiB; at most 2,048 are accepted"):
        SceneClassifier.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": list("abcd")}, "it names 4 classes, its network has 3"),
        ({"classes": list("abcd"), "shape": {"n_classes": 4}}, r"has shape \(3,\), its description makes \(4,\)"),
        ({"shape": {"audio_dim": 10**15}}, "claims 1000000000000000 values in a frame of audio"),
        ({"params": {"hidden": 10**9}}, r"hidden=1000000000: expected a whole number in \["),
        ({"params": {"hidden": 100}}, "its description makes"),
        ({"classes": ["a", "b", {"c": 1}]}, "its classes are not all names"),
        ({"classes": ["a", "b", "c\nd"]}, r"the class 'c\\nd' holds the character"),
        ({"features": []}, "it does not say of the embedder its name and whether it is trained"),
        ({"features": {"embedder": 1}}, "it does not say of the embedder its name and whether it is trained"),
    ],
)
def test_a_description_that_lies_is_refused_before_memory_is_taken(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    blank = [Standardize(np.zeros(10, np.float32), np.ones(10, np.float32)) for _ in range(2)]
    params = resolve({**RECIPE, **variants()["early"].hyperparameters}, {})
    description = Description("early", Shape(10, 10, 6, 3), params, ("a", "b", "c"), FEATURES)
    network = build(variants()["early"], description.shape, params)
    SceneClassifier(description, blank[0], blank[1], network).save(tmp_path)
    file = tmp_path / "classifier.json"
    fields = json.loads(file.read_text())
    for name, value in change.items():
        fields[name] = fields[name] | value if isinstance(value, dict) else value
    file.write_text(json.dumps(fields))
    with pytest.raises(UserError, match=f"holds no usable classifier .*{message}"):
        SceneClassifier.load(tmp_path)


@battery
def test_only_variants_that_keep_frames_learn_their_order(variant: type[FusionNetwork]) -> None:
    """Class 0 rises over time, class 1 falls: every clip has the same frames, in another order."""
    shape = Shape(4, 4, 6, 2)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(128) % 2
    rising = torch.linspace(-1, 1, 6)[:, None].expand(6, 4)
    audio, video = (
        torch.where(labels[:, None, None] == 0, rising, rising.flip(0))
        + 0.1 * torch.randn(128, 6, 4, generator=generator)
        for _ in range(2)
    )
    examples = Examples(audio[:96], video[:96], labels[:96])
    recipe = resolve(RECIPE, {"epochs": "25", "batch_size": "32", "learning_rate": "0.003"})
    network = make(variant, {"lstm_hidden": "8"} if variant.id == "lstm" else None, shape=shape)
    list(fit_stages(network, examples, examples, recipe, 0))
    _, decisions = network.eval().answers(audio[96:], video[96:])
    accuracy = float((decisions == labels[96:]).float().mean())
    assert accuracy > 0.95 if not variant.any_length else 0.2 < accuracy < 0.8
