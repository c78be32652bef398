"""Embedders by their names on the Hugging Face hub: small models of the families that people use."""

import shutil
import sys
from pathlib import Path
from typing import Any

import av
import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from avfusion.embedders import embedder_names, embedder_needs, load_embedder
from avfusion.embedders.huggingface.sound import count_windows, stream_windows, window_of
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from tests.edge import run_job
from tests.embedder_contract import check_pictures, check_sound, waves
from tests.hf_models import PICTURES, SOUND, save_model
from tests.stand_ins import draw_nothing, extract_by_one_process
from tests.test_predict_job import predict, write_clips

TONE = np.sin(np.arange(16_000) / 7).astype(np.float32)[:, None]  # a second at 16 kHz
FEW = {"CLIPModel": "clip", "SiglipModel": "siglip", "Dinov2Model": "dinov2", "ClapModel": "clap", "ASTModel": "ast"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each family."""
    folder = tmp_path_factory.mktemp("models")
    for family in (*PICTURES, *SOUND, "wav2vec2", "vit_mae", "bert"):
        save_model(folder, family)
    return folder


def load(place: str, model: Path, weights: str | None = None, **choices: Any) -> Any:
    name = f"hf:{model}+demo" if place == "video" else f"demo+hf:{model}"
    return getattr(load_embedder(name, **{"device": "cpu", "weights": {place: weights}, **choices}), place)


@pytest.mark.parametrize("family", PICTURES)
def test_contract_of_pictures(models: Path, family: str, tmp_path: Path) -> None:
    check_pictures(lambda **choices: load("video", models / family, **choices), tmp_path)


@pytest.mark.parametrize("family", SOUND)
def test_contract_of_sound(models: Path, family: str, tmp_path: Path) -> None:
    check_sound(lambda **choices: load("audio", models / family, **choices), tmp_path, SOUND[family])


@pytest.mark.parametrize("name", FEW)
def test_values_are_those_of_the_whole_model_in_transformers(models: Path, name: str) -> None:
    """Loaded as a whole, by its own class and processor, a frame or window at a time."""
    import transformers

    folder = models / FEW[name]
    whole = getattr(transformers, name).from_pretrained(folder).eval()
    with torch.inference_mode():
        if FEW[name] in PICTURES:
            processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
            frames = waves(2, 60, 90)
            inputs = [processor(Image.fromarray(frame), return_tensors="pt") for frame in frames]
            part = getattr(whole, "vision_model", whole)
            expected = [part(pixel_values=given["pixel_values"]).pooler_output[0] for given in inputs]
            found = load("video", folder).embed_video(frames)
        else:
            processor = transformers.AutoFeatureExtractor.from_pretrained(folder)
            given = processor(TONE[:, 0], sampling_rate=16_000, return_tensors="pt")
            expected = list(getattr(whole, "audio_model", whole)(**given).pooler_output)
            found = load("audio", folder).embed_audio([TONE], 16_000)
    np.testing.assert_allclose(found, torch.stack(expected).numpy(), rtol=1e-4, atol=1e-5)


def test_pooling_without_a_layer_for_it(models: Path) -> None:
    """Of ViT as it tells classes, the pooling layer was not saved, and would be random."""
    from transformers import AutoImageProcessor, ViTModel

    network = ViTModel.from_pretrained(models / "vit", add_pooling_layer=False).eval()
    processor = AutoImageProcessor.from_pretrained(models / "vit", backend="pil")
    frames = waves(1, 50, 50)
    with torch.inference_mode():
        hidden = network(processor(Image.fromarray(frames[0]), return_tensors="pt")["pixel_values"]).last_hidden_state
    np.testing.assert_allclose(load("video", models / "vit").embed_video(frames), hidden.mean(1).numpy(), atol=1e-5)


def test_windows_end_with_the_sound() -> None:
    """A window is a second here, cut into 100 samples; each is full, but of sound that is shorter than one."""
    for n_samples, hop, starts in (
        (40, 100, [0]), (100, 100, [0]), (105, 100, [0]), (106, 100, [0, 6]), (250, 100, [0, 100, 150]),
        (300, 100, [0, 100, 200]), (230, 50, [0, 50, 100, 130]), (252, 50, [0, 50, 100, 150]),
        (700, 250, [0, 250, 500, 600]),
    ):  # fmt: skip
        sound = np.arange(n_samples, dtype=np.float32)
        expected = [sound[start : start + 100] for start in starts]
        assert count_windows(n_samples, 100, hop) == len(starts)
        for size in (1, 33, 100, 1000):
            pieces = [sound[at : at + size] for at in range(0, n_samples, size)]
            found = list(stream_windows(pieces, 100, hop))
            assert [window.tolist() for window in found] == [window.tolist() for window in expected]
    with pytest.raises(UserError, match="the sound is empty"):
        list(stream_windows([], 100, 100))


def test_windows_and_hop(models: Path) -> None:
    embedder = load("audio", models / "clap")
    assert (embedder.hop, embedder.provenance["window"], embedder.provenance["dim"]) == (1.0, 1.0, 32)
    assert [embedder.n_windows(round(seconds * 48_000), 48_000) for seconds in (0.1, 1.04, 2.0, 10.0)] == [1, 1, 2, 10]
    assert load("audio", models / "ast").hop == 1.005  # 99 frames of 25 ms, every 10 ms
    unsaid = load("audio", models / "wav2vec2", hop=2.5)
    assert (unsaid.hop, unsaid.provenance["window"]) == (2.5, 10.0)
    assert unsaid.embed_audio([TONE], 16_000).shape == (1, 16)


def test_windows_of_published_models() -> None:
    from transformers import ASTFeatureExtractor, ClapFeatureExtractor, WhisperFeatureExtractor

    assert window_of(ASTFeatureExtractor()) == 164_080  # 1024 frames: 10.255 s at 16 kHz
    assert window_of(ClapFeatureExtractor()) == 480_000
    assert window_of(WhisperFeatureExtractor()) == 480_000


def test_provenance_says_what_and_where_from(models: Path) -> None:
    found = load("video", models / "siglip", frames=2.0).provenance
    assert (found["trained"], found["frames"], found["dim"]) == (True, 2.0, 16)
    assert set(found["origin"]) == {"commit", "files", "transformers"}
    assert list(found["origin"]["files"]) == ["model.safetensors"]
    assert found["weights_files"] == [str(models / "siglip" / "model.safetensors")]
    random = load("video", models / "siglip", weights="untrained").provenance
    assert (random["trained"], random["weights"], random["origin"]["files"]) == (False, "untrained", {})
    assert random["settings"] == found["settings"] != load("video", models / "clip").provenance["settings"]


def test_coarse_numbers_leave_the_weights_as_they_are(models: Path, tmp_path: Path) -> None:
    fine = load("video", models / "dinov2")
    coarse = load("video", models / "dinov2", precision="bf16")
    assert coarse.provenance["weights"] == fine.provenance["weights"]
    coarse.save_weights(tmp_path / "carried.safetensors")
    again = load("video", models / "dinov2", weights=str(tmp_path / "carried.safetensors"))
    np.testing.assert_array_equal(again.embed_video(waves(1, 40, 40)), fine.embed_video(waves(1, 40, 40)))


def test_weights_are_found_again_where_they_lay(models: Path) -> None:
    first = load("audio", models / "ast")
    again = load("audio", models / "ast", weights=",".join(first.provenance["weights_files"]))
    assert again.provenance == first.provenance


def test_weights_in_several_files(models: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    shutil.copytree(models / "siglip", tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    AutoModel.from_pretrained(models / "siglip").save_pretrained(tmp_path / "m", max_shard_size="20KB")
    several, one = load("video", tmp_path / "m"), load("video", models / "siglip")
    assert len(several.provenance["weights_files"]) > 1
    assert several.provenance["weights"] == one.provenance["weights"]
    next((tmp_path / "m").glob("model-00002*")).unlink()
    with pytest.raises(UserError, match=r"has no model-00002-of-\d+.safetensors; weights are read from safetensors"):
        load("video", tmp_path / "m")


@pytest.mark.parametrize(
    ("place", "family", "message"),
    [
        (
            "video",
            "ast",
            r"takes sound \(its type is audio-spectrogram-transformer\); expected a model of pictures, such",
        ),
        ("video", "clap", r"takes .*sound.* \(its type is clap\); expected a model of pictures"),
        ("audio", "clip", r"takes pictures and text \(its type is clip\); expected a model of sound, such as hf:MIT/a"),
        ("audio", "bert", r"takes text \(its type is bert\); expected a model of sound"),
        ("video", "bert", r"takes text \(its type is bert\); expected a model of pictures"),
        ("video", "vit_mae", "hides a random part of each input from itself"),
        ("video", "none", "there is no such folder, and no model of the hub is called so; expected OWNER/MODEL"),
    ],
)
def test_models_of_something_else(models: Path, place: str, family: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(place, models / family)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors", None, "has no model.safetensors; weights are read from safetensors alone, since pickled"),
        ("model.safetensors", b"no weights", "cannot be loaded: SafetensorError"),
        ("model.safetensors.index.json", b"[]", "index.json cannot be read"),
        ("config.json", None, "has no config.json; expected a folder as transformers' save_pretrained"),
        ("config.json", b"{}", "cannot be loaded: ValueError: Unrecognized model"),
        ("config.json", b'{"model_type": "its_own", "auto_map": {"AutoConfig": "its_own.Config"}}', "cannot be loaded"),
        ("config.json", b" " * 2**21, "2 MiB; at most 1 are accepted"),
        ("preprocessor_config.json", None, "cannot be loaded: "),
    ],
)
def test_folders_that_are_no_good(models: Path, tmp_path: Path, file: str, content: bytes | None, message: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "siglip", folder)
    (folder / file).unlink(missing_ok=True)
    if "index" in file:  # of weights in several files, which count where there is no single one
        (folder / "model.safetensors").unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    (folder / "its_own.py").write_text("raise SystemExit('code of a model was run')")
    with pytest.raises(UserError, match=message) as caught:
        load("video", folder)
    assert "\n" not in str(caught.value)


def test_weights_that_are_missing_or_of_another_shape(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "siglip", tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    state = load_file(file)
    name = "vision_model.encoder.layers.1.mlp.fc1.bias"
    save_file(state | {name: torch.zeros(5)}, file, {"format": "pt"})
    with pytest.raises(UserError, match="cannot be loaded"):
        load("video", tmp_path / "model")
    del state[name]
    save_file(state, file, {"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights are missing, .*layers.1.mlp.fc1.bias first; is it the whole model"):
        load("video", tmp_path / "model")


@pytest.mark.parametrize(
    ("place", "choices", "message"),
    [
        ("video", {"frames": 0.0}, "frames=0; hf:.* expects pictures per second, above 0"),
        ("audio", {"hop": -1.0}, "hop=-1; hf:.* expects seconds between windows"),
        ("audio", {"hop": "inf"}, "hop=inf; hf:.* expects seconds between windows"),
        ("audio", {"device": "tpu"}, "unknown device 'tpu'"),
        ("audio", {"weights": "no/such.safetensors"}, "no/such.safetensors cannot be read as safetensors"),
    ],
)
def test_choices_that_are_no_good(models: Path, place: str, choices: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(place, models / ("ast" if place == "audio" else "clip"), **choices)


def test_without_transformers_one_line_says_how_to_get_it(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"needs the package transformers .*: pip install -e '.\[transformers\]'"):
        load("video", models / "siglip")


def test_names_and_needs() -> None:
    assert "hf:MODEL" in embedder_names("audio") and "hf:MODEL" in embedder_names("video")
    assert embedder_needs("hf:a/b+yamnet") == ["transformers"]
    assert embedder_needs("efficientnet_lite0+yamnet") == []
    with pytest.raises(UserError, match=r"is for sound or pictures; expected PICTURE\+SOUND"):
        load_embedder("hf:google/siglip2-base-patch16-256")


def test_from_clips_to_answers(
    models: Path, tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The served model has its embedders with it: the folders of both are gone when it answers."""
    monkeypatch.chdir(tmp_path)
    extract_by_one_process(monkeypatch)
    draw_nothing(monkeypatch)
    clips = write_clips(tmp_path / "clips")
    for family in ("siglip", "clap"):
        shutil.copytree(models / family, tmp_path / family)
    name = "hf:siglip+hf:clap"
    lines = run_job("extract", data=str(clips / "clips.csv"), embedder=name, hop="0.5", output="store", device="cpu")
    assert f"features: {name}; 8 clips, failed_clips=0" in lines[1]
    store = FeatureStore.open(tmp_path / "store")
    assert (store.audio.shape, store.video.shape) == ((8, 32), (8, 16))
    assert store.provenance["embedder"]["audio"]["hop"] == 0.5
    run_job("train", features="store", variants="early", seeds="0", params="epochs=2", device="cpu", register="true")
    for family in ("siglip", "clap"):
        shutil.rmtree(tmp_path / family)
    _, table = predict(tmp_path / "out", model="models:/avfusion/latest", clip=str(clips))
    assert table["scene"].isin(["loud", "quiet"]).all() and len(table) == 8
    assert (table["note"] == "").all()
    folder = Path(mlflow.artifacts.download_artifacts("models:/avfusion/latest", dst_path=str(tmp_path / "model")))
    assert "transformers==" in (folder / "requirements.txt").read_text()
    monkeypatch.setenv("AVFUSION_CLIP_ROOT", str(clips))
    join_movie(clips / "0.avi", clips / "0.wav", clips / "movie.avi")
    answers = mlflow.pyfunc.load_model(str(folder)).predict(pd.DataFrame({"clip": ["movie.avi"]}))
    assert answers["modalities"].tolist() == ["audio+video"]
    assert answers["probability/loud"].tolist() == pytest.approx(table["probability/loud"][:1].tolist(), abs=1e-4)


def join_movie(video: Path, audio: Path, path: Path) -> None:
    """The packets of two files in one."""
    with av.open(str(video)) as pictures, av.open(str(audio)) as sound, av.open(str(path), "w") as movie:
        sources = (pictures, sound)
        streams = [movie.add_stream_from_template(source.streams[0]) for source in sources]
        for source, stream in zip(sources, streams, strict=True):
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = stream
                    movie.mux(packet)


def test_a_file_of_weights_that_would_not_be_read_is_refused(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "siglip", folder)
    shutil.copy(folder / "model.safetensors", folder / "tuned.safetensors")
    with pytest.raises(UserError, match=r"tuned\.safetensors: not what .* loads; expected .*/model\.safetensors"):
        load("video", folder, weights=str(folder / "tuned.safetensors"))
