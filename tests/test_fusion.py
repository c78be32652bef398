"""One battery that every registered variant must pass, and each variant against a forward pass written out."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from avfusion.errors import UserError
from avfusion.fusion import FusionNetwork, Shape, build, choose_variants, variants
from avfusion.fusion.hyperparameters import resolve
from avfusion.scoring.calibration import softened_cross_entropy
from avfusion.training.balance import Balance
from avfusion.training.classifier import Description
from avfusion.training.fit import Examples, fit_stages
from avfusion.training.precision import check_precision
from avfusion.training.recipe import RECIPE
from avfusion.training.scene_classifier import SceneClassifier
from avfusion.training.standardization import Standardize
from tests.plain_networks import COUNTS, PLAIN

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


def small(variant: type[FusionNetwork]) -> dict[str, str]:
    """Hyperparameters with which the slow ones learn a toy in little time."""
    return {"lstm": {"lstm_hidden": "8"}}.get(variant.id, {"hidden": "32"} if variant.masks_padding else {})


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
def test_says_what_it_diagnoses(variant: type[FusionNetwork]) -> None:
    found = make(variant).eval().diagnostics(*features(4))
    assert list(found) == list(variant.diagnosed)
    for values in found.values():
        assert values.shape == (4,) and bool(((values >= 0) & (values <= 1)).all())


@battery
def test_a_branch_has_the_name_of_its_modality(variant: type[FusionNetwork]) -> None:
    if "balance" in variant.cannot_use:
        return
    network = make(variant).train()
    balance = Balance(network, 0.5)
    assert all(balance.branches.values())
    assert sum(map(len, balance.branches.values())) + len(balance.rest) == len(list(network.parameters()))


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
    network = make(variant, small(variant))
    list(fit_stages(network, examples, examples, recipe, 0))
    _, decisions = network.eval().answers(audio, video)
    assert (decisions == labels).float().mean() > 0.95


@battery
def test_hyperparameters_are_the_constructor_keywords(variant: type[FusionNetwork]) -> None:
    assert not set(variant.hyperparameters) & set(RECIPE)
    assert set(variant.recipe) <= set(RECIPE) >= set(variant.cannot_use)
    assert variant.title and variant.source
    values = resolve(variant.hyperparameters, {})
    variant(SHAPE, **values)
    for name in values:
        with pytest.raises(TypeError):
            variant(SHAPE, **{key: value for key, value in values.items() if key != name})


@battery
def test_equals_a_plain_forward_pass(variant: type[FusionNetwork]) -> None:
    plain, params = PLAIN[variant.id]
    network, (audio, video) = make(variant, params).eval(), features(7)
    torch.testing.assert_close(network(audio, video), plain(network.state_dict(), audio, video))


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
    with pytest.raises(UserError, match=r"unknown variant .*audio_only, baseline, bottleneck, class_weighted_late"):
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
    network = make(variant, small(variant), shape=shape)
    list(fit_stages(network, examples, examples, recipe, 0))
    _, decisions = network.eval().answers(audio[96:], video[96:])
    accuracy = float((decisions == labels[96:]).float().mean())
    keeps_order = not variant.pools_time and variant.id != "two_stage"  # which sees one frame at a time
    assert accuracy > 0.95 if keeps_order else 0.2 < accuracy < 0.8


def test_weighted_late_fusion_is_the_best_product_on_validation() -> None:
    """Its two weights beat those of `product`, which are found one by one, and it may leave a modality out."""
    posthoc, (audio, video), labels = variants()["posthoc_late"], features(60), torch.arange(60) % 3
    audio[..., :3] += 2 * torch.eye(3)[labels][:, None]
    losses = {}
    for rule in ("product", "weighted"):
        network = make(posthoc, {"rule": rule, "hidden": "8"})
        recipe = resolve(RECIPE, {"epochs": "3", "batch_size": "16", "learning_rate": "0.01"})
        list(fit_stages(network, Examples(audio, video, labels), Examples(audio, video, labels), recipe, 0))
        losses[rule] = float(softened_cross_entropy(network.eval()(audio, video).detach(), labels))
    assert losses["weighted"] < losses["product"]
    network.load_state_dict({**network.state_dict(), "temperatures": torch.tensor([2.0, torch.inf])})
    sound = network.get_submodule("audio")(audio, video)
    torch.testing.assert_close(network(audio, video).log_softmax(1), (sound / 2).log_softmax(1))
