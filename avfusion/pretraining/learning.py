"""Learning the AVC task: step after step, from a checkpoint if there is one.

What a step does follows from the seed and its number alone, so a run that was killed and continued gives the same
weights as one that was not (on the same machine).
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from avfusion.errors import UserError
from avfusion.l3.avc import AVCNetwork, avc_accuracy, avc_loss
from avfusion.l3.frontend import Frontend
from avfusion.l3.presets import L3Config
from avfusion.pretraining.pair_source import PairSource
from avfusion.system.files import replacing
from avfusion.system.seeds import derive_seed

LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-2
BATCH = 64
HELD_OUT_SHARE = 8
"""One location in this many is held out."""
CHECKPOINT_STEPS = 50
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Progress:
    """After a step: its number (from 1), training loss (nats) and accuracy; held-out accuracy where it was measured."""

    step: int
    loss: float
    accuracy: float
    held_out_accuracy: float | None


@dataclass(frozen=True)
class Schedule:
    """What fixes a pretraining besides its source."""

    preset: str
    steps: int
    seed: int
    clips: str
    """Digest of the clip list."""


def split_locations(source: PairSource, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row numbers of the clips to learn from and of those held out, no location in both."""
    locations = sorted({entry.location for entry in source.entries})
    n_held_out = max(1, len(locations) // HELD_OUT_SHARE)
    if len(locations) < 2:
        raise UserError("all clips are of one location; AVC pretraining holds locations out and needs at least 2")
    chosen = np.random.default_rng(derive_seed("avc", "held out", seed)).permutation(locations)[:n_held_out]
    held_out = np.array([entry.location in set(chosen) for entry in source.entries])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


class Learner:
    """One pretraining: network, optimiser, step; `run` carries it to the end."""

    def __init__(
        self, source: PairSource, config: L3Config, schedule: Schedule, folder: Path, device: torch.device
    ) -> None:
        self.source, self.schedule, self.folder, self.device = source, schedule, folder, device
        self.train_clips, self.held_out_clips = split_locations(source, schedule.seed)
        self.network = AVCNetwork(config, schedule.seed).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.frontend = Frontend(config.frontend).to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )
        self.step = 0
        self._resume()

    def run(self, on_step: Callable[[Progress], None]) -> None:
        """All remaining steps; `on_step` hears of each."""
        while self.step < self.schedule.steps:
            self.step += 1
            loss, accuracy = self._learn()
            measured = self.step % CHECKPOINT_STEPS == 0 or self.step == self.schedule.steps
            on_step(Progress(self.step, loss, accuracy, self.held_out_accuracy(rounds=1) if measured else None))
            if measured:
                self._save()

    @torch.no_grad()
    def held_out_accuracy(self, rounds: int) -> float:
        """AVC accuracy on the clips of held-out locations, mean over `rounds` draws of pairs; chance is 0.5."""
        self.network.eval()
        generator = np.random.default_rng(derive_seed("avc", "measure", self.schedule.seed))
        values, weights = [], []
        for _ in range(rounds):
            order = generator.permutation(self.held_out_clips)
            for batch in np.array_split(order, math.ceil(len(order) / BATCH)):
                if len(batch) > 1:
                    values.append(avc_accuracy(self._scores(batch, generator)))
                    weights.append(len(batch))
        return float(np.average(values, weights=weights))

    def _learn(self) -> tuple[float, float]:
        generator = np.random.default_rng(derive_seed("avc", "step", self.schedule.seed, self.step))
        batch = generator.permutation(self.train_clips)[:BATCH]
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * (self.step - 1) / self.schedule.steps)) / 2
        self.network.train()
        scores = self._scores(batch, generator, vary=True)
        loss = avc_loss(scores)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.detach()), avc_accuracy(scores.detach())

    def _scores(self, clips: NDArray[np.intp], generator: np.random.Generator, vary: bool = False) -> Tensor:
        """Scores [B, B, 2] of one pair per clip; `vary` changes what does not change the scene."""
        windows, pictures = self.source.pairs(clips, generator)
        seen = torch.from_numpy(pictures.astype(np.float32)).to(self.device)
        with torch.no_grad():
            heard = self.frontend(torch.from_numpy(windows).to(self.device))
        if vary:
            seen, heard = vary_pictures(seen, generator), vary_spectrograms(heard, generator)
        scores: Tensor = self.network(heard, seen)
        return scores

    def _save(self) -> None:
        """Everything that the next step depends on, whole or not at all."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in state.items()}
        metadata = {"plan": json.dumps(asdict(self.schedule)), "step": str(self.step)}
        with replacing(self.folder / CHECKPOINT) as temporary:
            save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, temporary, metadata)

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            if json.loads(metadata["plan"]) != asdict(self.schedule):
                raise UserError(
                    f"{self.folder.absolute()} holds another pretraining ({metadata['plan']}); choose another output"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no iterator
        network = {name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")}
        self.network.load_state_dict(network)
        parameters = list(self.network.parameters())
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, number, key = name.split(".")
                like = parameters[int(number)]
                # the fused optimiser goes by memory order: moments must lie as their parameter does
                laid_out = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
                state.setdefault(int(number), {})[key] = laid_out
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.step = int(metadata["step"])


def vary_pictures(pictures: Tensor, generator: np.random.Generator) -> Tensor:
    """Pictures [B, 3, H, W], half of them flipped left to right, each with its own brightness and saturation."""
    flipped, brightness, saturation = (
        torch.from_numpy(draw.astype(np.float32)).to(pictures.device)[:, None, None, None]
        for draw in (
            generator.random(len(pictures)) < 0.5,
            generator.uniform(0.7, 1.3, len(pictures)),
            generator.uniform(0.7, 1.3, len(pictures)),
        )
    )
    pictures = torch.where(flipped.bool(), pictures.flip(3), pictures)
    grey = pictures.mean(1, keepdim=True)
    return (grey + saturation * (pictures - grey)) * brightness


def vary_spectrograms(decibels: Tensor, generator: np.random.Generator) -> Tensor:
    """Spectrograms [B, 1, F, T] as through other microphones: each with its own smooth gain over frequency.

    Gains at eight evenly spaced frequencies have a standard deviation of 3 dB, and a slope of up to 10 dB on top.
    """
    slope = generator.uniform(-10, 10, (len(decibels), 1)) * np.linspace(-0.5, 0.5, 8)
    gains = torch.from_numpy((slope + generator.normal(0, 3, (len(decibels), 8))).astype(np.float32))
    smooth = functional.interpolate(gains[:, None], decibels.shape[2], mode="linear", align_corners=True)
    return decibels + smooth.to(decibels.device)[..., None]
