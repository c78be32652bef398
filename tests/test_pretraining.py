"""AVC pretraining: the task, its loss, resuming, and what it leaves behind."""

import json
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from avfusion import l3
from avfusion.datasets import Dataset, read_dataset
from avfusion.datasets.scenes import render_scenes
from avfusion.embedders import load_embedder
from avfusion.errors import UserError
from avfusion.jobs.extract import DEMO_SEED
from avfusion.jobs.pretrain import SCENES
from avfusion.l3.avc import AVCNetwork, avc_accuracy, avc_loss
from avfusion.l3.presets import WINDOW, preset_config
from avfusion.pretraining import learning
from avfusion.pretraining.learning import CHECKPOINT, Learner, Schedule, split_locations
from avfusion.pretraining.pair_source import PICTURES, Entry, PairSource, prepare
from tests.edge import run_job
from tests.kills import FRESH

CONFIG = preset_config("demo")


def toy(n_clips: int = 12) -> PairSource:
    """Clips whose pitch goes with the number of bars in their pictures."""
    generator = np.random.default_rng(0)
    seconds = np.arange(WINDOW) / WINDOW
    tones = 400 * 2.0 ** np.linspace(0, 4, n_clips)
    sound = np.concatenate([0.3 * np.sin(2 * np.pi * tone * seconds) for tone in tones]).astype(np.float16)
    bars = 0.5 + 0.4 * np.sin(np.outer(np.linspace(1, 16, n_clips), np.arange(64)) * 2 * np.pi / 64)
    noise = 0.02 * generator.standard_normal((n_clips, PICTURES, 3, 64, 64))
    pictures = np.clip(bars[:, None, None, :, None] + noise, 0, 1)
    entries = [Entry(str(n), f"place {n // 2}", n * WINDOW, WINDOW, 1.0) for n in range(n_clips)]
    return PairSource(entries, sound, pictures.astype(np.float16))


def learn(folder: Path, steps: int, fatal: int = 0) -> dict[str, torch.Tensor]:
    """Weights after all steps in `folder`; kills itself at step `fatal`."""
    torch.set_num_threads(1)
    learner = Learner(toy(), CONFIG, Schedule("demo", steps, 0, "toy"), folder, torch.device("cpu"))
    learner.run(lambda progress: os.kill(os.getpid(), signal.SIGKILL) if progress.step == fatal else None)
    return {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}


def learn_and_die(folder: Path) -> None:
    """With a checkpoint every two steps, killed at the fifth of six."""
    learning.CHECKPOINT_STEPS = 2
    learn(folder, 6, fatal=5)


def test_scores_of_all_pairs_equal_those_of_concatenated_embeddings() -> None:
    network = AVCNetwork(CONFIG, 0).eval()
    spectrograms, pictures = torch.randn(3, 1, 64, 50), torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        scores = network(spectrograms, pictures)
        heard, seen = network.audio(spectrograms).relu(), network.image(pictures).relu()
        for sound in range(3):
            for picture in range(3):
                joint = network.fuse(torch.cat([heard[sound], seen[picture]])).relu()
                torch.testing.assert_close(scores[sound, picture], network.classify(joint), rtol=1e-4, atol=1e-4)


def test_loss_and_accuracy_weigh_positives_and_negatives_alike() -> None:
    scores = torch.zeros(4, 4, 2)
    assert float(avc_loss(scores)) == pytest.approx(math.log(2))
    scores[..., 0] = 5.0  # always "no": right for every negative, wrong for every positive
    assert avc_accuracy(scores) == 0.5
    scores[torch.eye(4, dtype=torch.bool)] = torch.tensor([0.0, 5.0])
    assert avc_accuracy(scores) == 1.0
    assert float(avc_loss(scores)) == pytest.approx(math.log(1 + math.exp(-5)), rel=1e-4)


def test_no_location_is_both_learnt_and_held_out() -> None:
    source = toy(32)
    learnt, held_out = split_locations(source, 0)
    places = [{source.entries[row].location for row in rows} for rows in (learnt, held_out)]
    assert not places[0] & places[1]
    assert len(learnt) + len(held_out) == 32 and len(held_out) == 4


def test_a_window_holds_the_moment_of_its_picture() -> None:
    """Sound whose value is its own time in seconds tells where a window begins."""
    seconds = 4.0
    sound = (np.arange(int(seconds * WINDOW)) / WINDOW).astype(np.float16)
    pictures = np.zeros((1, PICTURES, 3, 2, 2), np.float16)
    pictures += np.arange(PICTURES, dtype=np.float16)[:, None, None, None]
    source = PairSource([Entry("a", "a", 0, len(sound), seconds)], sound, pictures)
    generator = np.random.default_rng(0)
    begins = []
    for _ in range(200):
        windows, seen = source.pairs(np.array([0]), generator)
        moment = float(seen[0, 0, 0, 0]) / (PICTURES - 1) * seconds
        begins.append(windows[0, 0])
        assert windows[0, 0] - 0.01 <= moment <= windows[0, -1] + 0.01
    assert min(begins) < 0.2 and max(begins) > 2.8


def test_the_task_is_learnt(tmp_path: Path) -> None:
    losses: list[float] = []
    learner = Learner(toy(), CONFIG, Schedule("demo", 60, 0, "toy"), tmp_path, torch.device("cpu"))
    learner.run(lambda progress: losses.append(progress.loss))
    assert losses[0] == pytest.approx(math.log(2), abs=0.1)
    assert min(losses[-5:]) < 0.55


def test_a_killed_run_continues_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "CHECKPOINT_STEPS", 2)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    expected = learn(whole, 6)
    process = FRESH.Process(target=learn_and_die, args=(broken,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert (broken / CHECKPOINT).is_file()
    continued = learn(broken, 6)
    assert all(torch.equal(tensor, continued[name]) for name, tensor in expected.items())


def test_another_plan_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    learn(tmp_path, 1)
    with pytest.raises(UserError, match="holds another pretraining"):
        Learner(toy(), CONFIG, Schedule("demo", 2, 0, "toy"), tmp_path, torch.device("cpu"))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("scenes") / "scenes"
    return read_dataset(render_scenes(root, seed=5, locations=2, test_locations=1, segments=1, seconds=1.2))


def test_material_is_what_was_decoded_and_is_made_once(scenes: Dataset, tmp_path: Path) -> None:
    source = prepare(scenes, CONFIG, tmp_path)
    assert [entry.id for entry in source.entries] == [clip.id for clip in scenes.clips]
    assert source.pictures.shape == (20, PICTURES, 3, 64, 64)
    assert len(source.sound) == sum(entry.samples for entry in source.entries) == 20 * int(1.2 * 48000)
    assert np.isfinite(source.pictures).all() and source.pictures.min() >= 0 and source.pictures.max() <= 1
    written = (tmp_path / "sound.f16").stat().st_mtime_ns
    time.sleep(0.01)
    prepare(scenes, CONFIG, tmp_path)
    assert (tmp_path / "sound.f16").stat().st_mtime_ns == written


def test_the_job_leaves_weights_that_extraction_takes(tracking_uri: str, scenes: Dataset, tmp_path: Path) -> None:
    lines = run_job(
        "pretrain", data=str(scenes.root), output=str(tmp_path), preset="demo", steps="2", seed="3", device="cpu"
    )
    card = json.loads((tmp_path / "weights.json").read_text())
    assert card["synthetic"] and card["steps"] == 2 and card["seed"] == 3
    assert card["clips"] + card["held_out_clips"] == 20
    assert any("AVC accuracy on held-out locations" in line for line in lines)
    embedder = load_embedder("demo", weights=str(tmp_path / "weights.safetensors"))
    assert embedder.provenance["trained"] is True
    assert embedder.provenance["weights"] == card["weights_digest"]
    assert {name.split(".")[0] for name in load_file(tmp_path / "weights.safetensors")} == {"audio", "image"}


def test_the_shipped_weights_are_those_of_their_card() -> None:
    folder = Path(l3.__file__).parent / "weights_demo"
    card = json.loads((folder / "demo.json").read_text())
    assert (folder / "demo.safetensors").stat().st_size <= 2_000_000
    assert load_embedder("demo").provenance["weights"] == card["weights_digest"]
    assert load_embedder("demo").provenance["trained"] is True
    assert card["synthetic"] and card["held_out_avc_accuracy"] >= 0.75
    text = (folder / "README.md").read_text()
    for fact in ("synthetic", f"--steps {card['steps']} --seed {card['seed']}", card["commit"], card["weights_digest"]):
        assert fact in text
    assert len(card["commit"]) == 40
    assert SCENES["seed"] != DEMO_SEED


@pytest.mark.parametrize(("name", "value"), [("steps", "0"), ("steps", "many"), ("seed", "-1")])
def test_bad_numbers(name: str, value: str) -> None:
    given = {"data": "none", "output": "none", "preset": "demo", "steps": "1", "seed": "0", "device": "cpu"}
    with pytest.raises(UserError, match=f"{name}={value}: expected a whole number"):
        run_job("pretrain", **{**given, name: value})
