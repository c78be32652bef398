import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from avfusion.errors import UserError
from avfusion.l3.keras_weights import branch_of, keras_state, read_layers
from avfusion.l3.loading import load_networks
from avfusion.l3.presets import demo_config
from avfusion.l3.untrained import untrained_subnetwork
from avfusion.l3.weights import build_subnetwork, read_safetensors, save_weights, state_of, weights_digest
from tests.l3_weight_files import keras_layers, small_openl3, write_keras

AUDIO = small_openl3().audio


def test_keras_layers_are_read_by_order(tmp_path: Path) -> None:
    layers = keras_layers(AUDIO)
    read = read_layers(write_keras(tmp_path / "w.h5", layers))
    assert [name for name, _ in read] == [n for n, arrays in layers if arrays and "spectrogram" not in n]
    state = keras_state(read, AUDIO, "w.h5")
    by_name = {name: dict(arrays) for name, arrays in layers}
    kernel = by_name["conv2d_3"]["conv2d_3/kernel:0"]
    assert np.array_equal(state["convolutions.3.weight"].numpy(), kernel.transpose(3, 2, 0, 1))
    parts = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    for keras, ours in parts.items():
        expected = by_name["batch_normalization_4"][f"batch_normalization_4/{keras}:0"]
        assert np.array_equal(state[f"norms.3.{ours}"].numpy(), expected)
        expected = by_name["batch_normalization_0"][f"batch_normalization_0/{keras}:0"]
        assert np.array_equal(state[f"input_norm.{ours}"].numpy(), expected)
    last = by_name["audio_embedding_layer"]["audio_embedding_layer/bias:0"]
    assert np.array_equal(state["convolutions.7.bias"].numpy(), last)


def test_other_roots_and_compressed_files_are_the_same(tmp_path: Path) -> None:
    plain = write_keras(tmp_path / "w.h5", keras_layers(AUDIO))
    rooted = write_keras(tmp_path / "r.h5", keras_layers(AUDIO), root="model_weights")
    packed = tmp_path / "w.h5.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    digests = {
        weights_digest({"audio": build_subnetwork(AUDIO, keras_state(read_layers(path), AUDIO, ""), "")})
        for path in (plain, rooted, packed)
    }
    assert len(digests) == 1


def test_branches_are_told_apart(tmp_path: Path) -> None:
    image = write_keras(tmp_path / "i.h5", keras_layers(small_openl3().image))
    assert branch_of(read_layers(image)) == "image"
    assert branch_of(read_layers(write_keras(tmp_path / "a.h5", keras_layers(AUDIO)))) == "audio"


@pytest.mark.parametrize("name", ["w.h5", "w.h5.gz"])
def test_damaged_files_are_refused(tmp_path: Path, name: str) -> None:
    content = write_keras(tmp_path / "good.h5", keras_layers(AUDIO)).read_bytes()
    content = gzip.compress(content) if name.endswith(".gz") else content
    for broken in (content[: len(content) // 2], b"", b"<html>not found</html>"):
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(UserError, match=rf"{name} cannot be read as Keras HDF5 weights .*is it damaged\?"):
            read_layers(tmp_path / name)


def test_another_networks_file_is_refused_by_name_and_shape(tmp_path: Path) -> None:
    wider = dataclasses.replace(AUDIO, block_channels=(2, 3, 6, 5))
    layers = read_layers(write_keras(tmp_path / "w.h5", keras_layers(wider)))
    message = r"w\.h5: layer 'conv2d_4' \(weight\) has shape \(3, 3, 3, 6\); expected \(3, 3, 3, 4\)"
    with pytest.raises(UserError, match=message):
        keras_state(layers, AUDIO, "w.h5")
    with pytest.raises(UserError, match=r"w\.h5 has 15 layers with weights; an L3 subnetwork has 16"):
        keras_state(layers[:-1], AUDIO, "w.h5")
    layers[1], layers[2] = layers[2], layers[1]
    with pytest.raises(UserError, match="layer 'batch_normalization_1' has 4 arrays; expected 2"):
        keras_state(layers, AUDIO, "w.h5")


def test_damaged_values_are_refused(tmp_path: Path) -> None:
    layers = read_layers(write_keras(tmp_path / "w.h5", keras_layers(AUDIO)))
    layers[2][1][3][0] = -1
    with pytest.raises(UserError, match=r"'batch_normalization_1' \(running_var\) has negative variances"):
        keras_state(layers, AUDIO, "w.h5")
    layers[1][1][0][0, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match=r"'conv2d_0' \(weight\) has values that are not finite"):
        keras_state(layers, AUDIO, "w.h5")


def test_safetensors_keep_both_branches(tmp_path: Path) -> None:
    config = demo_config()
    networks = load_networks(config, "untrained").networks
    path = tmp_path / "new" / "demo.safetensors"
    save_weights(path, networks, {"preset": "demo"})
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    loaded = load_networks(config, path)
    assert loaded.trained
    assert loaded.origins == {"audio": str(path), "image": str(path)}
    assert loaded.digest == weights_digest(networks) == load_networks(config, path.parent).digest
    inputs = torch.rand(1, 3, 64, 64)
    assert torch.equal(loaded.networks["image"](inputs), networks["image"](inputs))


def test_safetensors_are_checked(tmp_path: Path) -> None:
    config = demo_config()
    network = untrained_subnetwork(config, "audio")
    path = tmp_path / "demo.safetensors"
    save_weights(path, {"audio": network}, {})
    with pytest.raises(UserError, match="holds no image network"):
        load_networks(config, path)
    state = read_safetensors(path, "audio")
    other = dataclasses.replace(config.audio, block_channels=(16, 32, 64, 48))
    message = r"W: the weight 'convolutions.6.weight' has shape \[128, 64, 3, 3\]; expected \[48, 64, 3, 3\]"
    with pytest.raises(UserError, match=message):
        build_subnetwork(other, state, "W")
    with pytest.raises(UserError, match=r"W: unknown weight 'norms.9.bias'"):
        build_subnetwork(config.audio, state | {"norms.9.bias": torch.zeros(1)}, "W")
    damaged = state | {"norms.0.bias": torch.full((16,), torch.inf)}
    with pytest.raises(UserError, match=r"'norms.0.bias' has values that are not finite"):
        build_subnetwork(config.audio, damaged, "W")
    del state["input_norm.bias"]
    with pytest.raises(UserError, match=r"W: the weight 'input_norm.bias' is missing"):
        build_subnetwork(config.audio, state, "W")
    path.write_bytes(path.read_bytes()[:1000])
    with path.open("rb+") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(UserError, match=r"demo.safetensors: 200 MiB; at most 128 are accepted"):
        read_safetensors(path, "audio")
    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"demo.safetensors cannot be read as safetensors"):
        load_networks(config, path)


def test_missing_files_are_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"weights: {tmp_path}/nothing is no safetensors file"):
        load_networks(demo_config(), "nothing")


def test_the_digest_depends_on_every_weight() -> None:
    network = untrained_subnetwork(demo_config(), "audio")
    before = weights_digest({"audio": network})
    assert before != weights_digest({"image": network})
    state_of(network)["norms.6.running_var"][3] += 1e-3
    assert weights_digest({"audio": network}) != before
