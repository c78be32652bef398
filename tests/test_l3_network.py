import pytest
import torch
from torch import nn

from avfusion.errors import UserError
from avfusion.l3.folding import FoldedSubnetwork
from avfusion.l3.network import Subnetwork, pool_and_flatten
from avfusion.l3.presets import SubnetworkConfig, demo_config, openl3_config, preset_config, preset_names
from avfusion.l3.untrained import untrained_subnetwork

SMALL = SubnetworkConfig(3, (32, 48), (4, 5, 6, 7), (2, 3), relu_first=frozenset({1}))


def randomised(config: SubnetworkConfig) -> Subnetwork:
    """Statistics far from the initial ones, negative scales included."""
    torch.manual_seed(0)
    network = Subnetwork(config)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 3)
    return network.eval()


def written_out(network: Subnetwork, inputs: torch.Tensor) -> torch.Tensor:
    """The OpenL3 layout, layer by layer, with ReLU before BatchNorm after the second convolution."""
    relu, pool = torch.relu, nn.MaxPool2d(2)
    c, n = network.convolutions, network.norms
    x = relu(n[0](c[0](network.input_norm(inputs))))
    x = pool(n[1](relu(c[1](x))))
    x = pool(relu(n[3](c[3](relu(n[2](c[2](x)))))))
    x = pool(relu(n[5](c[5](relu(n[4](c[4](x)))))))
    features: torch.Tensor = c[7](relu(n[6](c[6](x))))
    return features


def test_forward_equals_the_layers_written_out() -> None:
    network, inputs = randomised(SMALL), torch.randn(2, 3, 32, 48)
    features = written_out(network, inputs)
    torch.testing.assert_close(network.feature_map(inputs), features)
    expected = features.unfold(2, 2, 2).unfold(3, 3, 3).amax(dim=(4, 5))  # [B, C, 2, 2]
    result = network(inputs)
    assert result.shape == (2, SMALL.embedding_size) == (2, 28)
    for row in range(2):
        for column in range(2):
            start = (row * 2 + column) * 7
            torch.testing.assert_close(result[:, start : start + 7], expected[:, :, row, column])


@pytest.mark.parametrize("relu_first", [frozenset(), frozenset({1}), frozenset({0, 4})])
def test_folding_changes_nothing(relu_first: frozenset[int]) -> None:
    config = SubnetworkConfig(3, (33, 47), (4, 5, 6, 7), (2, 2), relu_first)
    network, inputs = randomised(config), torch.randn(2, 3, 33, 47)
    with torch.no_grad():
        expected, result = network(inputs), FoldedSubnetwork(network)(inputs)
    assert (result - expected).norm() <= 1e-5 * expected.norm()


def test_bf16_stays_close() -> None:
    network, inputs = untrained_subnetwork(demo_config(), "audio"), torch.rand(2, 1, 64, 50) * 80 - 80
    with torch.no_grad():
        result = FoldedSubnetwork(network, torch.bfloat16)(inputs)
        assert result.dtype == torch.bfloat16
        assert (torch.cosine_similarity(result.float(), network(inputs)) > 0.999).all()


def test_flattening_is_channels_last() -> None:
    features = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    assert pool_and_flatten(features, (2, 4))[0].tolist() == [7, 23, 39, 15, 31, 47]


@pytest.mark.parametrize(
    ("representation", "audio_size", "grid"),
    [
        ("mel256", 512, (1, 1)),
        ("mel128", 512, (1, 1)),
        ("linear", 512, (1, 1)),
        ("mel256", 6144, (4, 3)),
        ("mel128", 6144, (4, 3)),
        ("linear", 6144, (4, 3)),
    ],
)
def test_openl3_sizes(representation: str, audio_size: int, grid: tuple[int, int]) -> None:
    config = openl3_config(representation, audio_size=audio_size, image_size=8192)
    assert config.audio.grid == grid
    assert config.audio.embedding_size == audio_size
    assert config.image.grid == (4, 4)
    assert config.image.embedding_size == 8192
    assert openl3_config(image_size=512).image.embedding_size == 512
    assert config.audio.convolutions == (
        (1, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512),
    )  # fmt: skip


def test_demo_sizes() -> None:
    config = demo_config()
    assert (config.audio.input_size, config.audio.grid, config.audio.embedding_size) == ((64, 50), (2, 2), 512)
    assert (config.image.input_size, config.image.grid, config.image.embedding_size) == ((64, 64), (2, 2), 512)


def test_every_weight_learns() -> None:
    config = demo_config()
    network = untrained_subnetwork(config, "image").train()
    network(torch.rand(2, 3, 64, 64)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_untrained_weights_are_fixed_by_their_seed() -> None:
    config = demo_config()
    first, again, other = (untrained_subnetwork(config, "audio", seed) for seed in (0, 0, 1))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert not torch.equal(first.convolutions[0].weight, other.convolutions[0].weight)  # type: ignore[arg-type]
    assert not first.training
    assert first.norms[0].momentum == nn.BatchNorm2d(1).momentum


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_repr": "mel64"}, "unknown input_repr 'mel64'; choose from: linear, mel128, mel256"),
        ({"content_type": "speech"}, "unknown content_type 'speech'; choose from: env, music"),
        ({"audio_size": 8192}, "unknown audio_size '8192'; choose from: 512, 6144"),
        ({"image_size": 6144}, "unknown image_size '6144'; choose from: 512, 8192"),
        ({"size": 1}, "preset 'openl3' has no such option: size"),
    ],
)
def test_unknown_choices_list_the_known_ones(options: dict[str, str | int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        preset_config("openl3", **options)


def test_unknown_preset() -> None:
    assert preset_names() == ["demo", "openl3"]
    with pytest.raises(UserError, match="unknown L3 preset 'l3'; choose from: demo, openl3"):
        preset_config("l3")
