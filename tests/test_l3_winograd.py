from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from avfusion.errors import UserError
from avfusion.features.writer import writing
from avfusion.l3.api import load_l3
from avfusion.l3.folding import FoldedSubnetwork
from avfusion.l3.network import Subnetwork
from avfusion.l3.presets import BRANCHES, Branch, SubnetworkConfig, demo_config, openl3_config
from avfusion.l3.runtime import subnetwork_runner
from avfusion.l3.untrained import smooth_noise, untrained_subnetwork
from avfusion.l3.winograd import VERSION, WinogradLayer, matrices, winograd_layers


def test_matrices_filter_in_six_products() -> None:
    a, g, b = matrices()
    random = np.random.default_rng(0)
    inputs, taps = random.standard_normal(6), random.standard_normal(3)
    outputs = a.T @ ((g @ taps) * (b.T @ inputs))
    np.testing.assert_allclose(outputs, np.correlate(inputs, taps), rtol=0, atol=1e-13)
    for exact in (a, b):
        assert np.array_equal(exact.astype(np.float32), exact)


def layer_and_reference(
    size: tuple[int, int], relu: bool, norm: bool, pool: bool
) -> tuple[WinogradLayer, torch.Tensor, torch.Tensor]:
    """The layer, three inputs, and in float64 what it should give."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(5, 7, 3, padding=1).requires_grad_(False)
    scale_and_shift = (torch.randn(7), torch.randn(7))
    inputs = torch.randn(3, 5, *size)
    expected = convolution.double()(inputs.double())
    if relu:
        expected = expected.relu()
    if norm:
        scale, shift = (values.double().view(-1, 1, 1) for values in scale_and_shift)
        expected = expected * scale + shift
    if pool:
        expected = functional.max_pool2d(expected, 2)
    layer = WinogradLayer(convolution.float(), relu=relu, norm=scale_and_shift if norm else None, pool=pool)
    return layer, inputs, expected


@pytest.mark.parametrize(("relu", "norm"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("size", [(2, 3), (4, 4), (33, 47), (50, 81)])
def test_a_layer_is_its_convolution_and_what_follows(size: tuple[int, int], relu: bool, norm: bool, pool: bool) -> None:
    layer, inputs, expected = layer_and_reference(size, relu, norm, pool)
    result = layer(inputs)
    assert result.shape == expected.shape
    assert (result - expected).norm() <= 1e-6 * expected.norm()
    assert torch.equal(layer(inputs.contiguous(memory_format=torch.channels_last)), result)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's number of threads, for this test."""
    count = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(count)


def test_a_layers_bits_depend_on_neither_batch_nor_threads(threads: Callable[[int], None]) -> None:
    torch.manual_seed(0)
    layer = WinogradLayer(nn.Conv2d(64, 128, 3, padding=1), relu=True, norm=None, pool=True)
    inputs, results = torch.randn(3, 64, 57, 90), []
    for count in (1, 2, 3):
        threads(count)
        results += [layer(inputs), torch.cat([layer(one[None]) for one in inputs])]
    assert all(torch.equal(result, results[0]) for result in results)


def test_a_networks_bits_depend_on_neither_batch_nor_threads(threads: Callable[[int], None]) -> None:
    config = SubnetworkConfig(3, (41, 35), (64, 64), (4, 4), relu_first=frozenset({1}))
    assert winograd_layers(config) == {1}
    network, inputs, results = Subnetwork(config).eval(), torch.randn(7, 3, 41, 35), []
    for count in (1, 2, 3):
        threads(count)
        runner = subnetwork_runner(network, torch.device("cpu"), "float32")
        assert runner.batch_size >= count
        for size in (1, 3, 7):
            results.append(np.concatenate(list(runner.stream(torch.split(inputs, size)))))
        assert torch.get_num_threads() == count
    assert all(np.array_equal(result, results[0]) for result in results)


def test_untrained_weights_depend_on_no_threads(threads: Callable[[int], None]) -> None:
    states = []
    for count in (1, 2):
        threads(count)
        states.append(untrained_subnetwork(openl3_config(), "image").state_dict())
        assert torch.get_num_threads() == count
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_network_is_as_exact_as_by_direct_convolution(branch: Branch) -> None:
    network = untrained_subnetwork(openl3_config(), branch)
    inputs = smooth_noise(network.config.in_channels, network.config.input_size, torch.Generator().manual_seed(1))[:1]
    if branch == "audio":
        inputs = inputs * 80 - 80
    with torch.no_grad():
        found, direct = (FoldedSubnetwork(network, winograd=winograd)(inputs) for winograd in (True, False))
        exact = network.double()(inputs.double())
    assert (found - exact).norm() <= 1.5 * (direct - exact).norm() <= 1.5e-5 * exact.norm()


def test_shape_alone_decides_which_layers() -> None:
    for name in ("mel256", "linear"):
        assert winograd_layers(openl3_config(name).audio) == set(range(1, 8))
    assert winograd_layers(openl3_config("mel128").audio) == set(range(1, 6))
    assert winograd_layers(openl3_config().image) == set(range(1, 8))
    assert not winograd_layers(demo_config().audio) | winograd_layers(demo_config().image)


def test_provenance_names_the_algorithm_where_it_is_used(tmp_path: Path) -> None:
    """What was begun without it is therefore not continued with it."""
    for precision in ("float32", "bf16"):
        assert "convolutions" not in load_l3("demo", weights="untrained", device="cpu", precision=precision).provenance
    embedder = load_l3("openl3", weights="untrained", device="cpu", branches=("image",)).provenance
    assert embedder["convolutions"] == VERSION
    with writing(tmp_path / "store") as writer:
        writer.begin({"embedder": {key: value for key, value in embedder.items() if key != "convolutions"}})
    with (
        pytest.raises(UserError, match=r"another extraction \(other embedder\.convolutions\)"),
        writing(tmp_path / "store") as writer,
    ):
        writer.begin({"embedder": embedder})
