"""Training by a recipe (see `avfusion.training.recipe`): one record per epoch, nothing known of MLflow.

Shapes: N clips, T frames, Da and Dv feature dimensions, C classes.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from avfusion.errors import UserError
from avfusion.fusion import FusionNetwork
from avfusion.fusion.base import Stage
from avfusion.fusion.hyperparameters import Value
from avfusion.system.memory import keep_freed_memory
from avfusion.system.seeds import derive_seed
from avfusion.training.augmentation import Augmentation, Batch
from avfusion.training.balance import Balance
from avfusion.training.recipe import make_scheduler

CURVES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")


@dataclass(frozen=True)
class Examples:
    """Standardised features and labels of one split: audio [N, T, Da], video [N, T, Dv], labels [N] in 0..C-1."""

    audio: Tensor
    video: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Examples":
        """The same on `device`."""
        return Examples(self.audio.to(device), self.video.to(device), self.labels.to(device))

    def single_frames(self) -> "Examples":
        """Every frame as a clip of its own: [N * T, 1, D], with the label of its clip."""
        n_frames = self.audio.shape[1]
        audio, video = (features.flatten(0, 1)[:, None] for features in (self.audio, self.video))
        return Examples(audio, video, self.labels.repeat_interleave(n_frames))


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to. Losses are mean cross-entropies in nats, accuracies shares in [0, 1]."""

    stage: str
    """Stage of the variant's training, see `avfusion.fusion.base.Stage`."""
    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float | None
    """None where clips are mixed with each other, and have no class of their own."""
    val_loss: float
    val_accuracy: float
    best: bool
    """Whether its validation loss is the lowest so far."""
    seconds: float

    @property
    def points(self) -> dict[str, float]:
        """Of each curve over the epochs its point here, by name: `val_loss`, or `audio/val_loss` in the stage audio."""
        values = {name: getattr(self, name) for name in CURVES}
        return {f"{self.stage}/{name}".lstrip("/"): float(value) for name, value in values.items() if value is not None}


def fit_stages(
    network: FusionNetwork, train: Examples, validation: Examples, recipe: Mapping[str, Value], seed: int
) -> Iterator[Epoch]:
    """Train `network` in place, stage after stage, then calibrate it; yields an `Epoch` after each epoch of each."""
    for stage in network.stages():
        training, held_out = (s.single_frames() if stage.single_frames else s for s in (train, validation))
        yield from fit(stage, training, held_out, recipe, derive_seed(seed, stage.name))
    network.calibrate(validation.audio, validation.video, validation.labels)


@torch.no_grad()
def scores(network: nn.Module, examples: Examples, batch_size: int = 1024) -> Tensor:
    """Class scores [N, C] of `network` in evaluation mode."""
    network.eval()
    rows = [
        network(examples.audio[start : start + batch_size], examples.video[start : start + batch_size])
        for start in range(0, len(examples), batch_size)
    ]
    return torch.cat(rows)


def fit(stage: Stage, train: Examples, validation: Examples, recipe: Mapping[str, Value], seed: int) -> Iterator[Epoch]:
    """Train the network of `stage` in place, yielding an `Epoch` after each; at the end it has the best one's weights.

    `train` has at least two examples (see `SplitFeatures.check_trainable`). `recipe` has the names of `RECIPE`, less
    those that a variant cannot use. `seed` fixes the order of batches and all draws; the global random state is left as
    it was. The caller may stop early by closing the iterator: the best weights so far are then restored too.
    """
    keep_freed_memory()
    network = stage.network
    device = next(network.parameters()).device
    steps = _Steps(stage, recipe, int(train.labels.max()) + 1, device)  # every class has training clips
    end_epoch = make_scheduler(steps.optimizer, recipe)
    order = torch.Generator().manual_seed(derive_seed("order", seed))
    best_loss, best_epoch = float("inf"), 0
    best_state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    try:
        for epoch in range(1, int(recipe["epochs"]) + 1):
            started = time.perf_counter()
            learning_rate = float(steps.optimizer.param_groups[0]["lr"])
            permutation = torch.randperm(len(train), generator=order).to(device)
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(derive_seed("dropout", seed, epoch))
                batches = torch.split(permutation, int(recipe["batch_size"]))
                train_loss, train_accuracy = steps.run(train, batches, epoch)
            val_loss, val_accuracy = _assess(scores(network, validation), validation.labels)
            if not math.isfinite(train_loss + val_loss):
                raise UserError(
                    f"training diverged in epoch {epoch} (loss {train_loss:g}, validation {val_loss:g}); "
                    f"lower learning_rate={recipe['learning_rate']}"
                )
            if best := val_loss < best_loss:
                best_loss, best_epoch = val_loss, epoch
                _copy(network, best_state)
            end_epoch(val_loss)
            seconds = time.perf_counter() - started
            yield Epoch(
                stage.name, epoch, learning_rate, train_loss, train_accuracy, val_loss, val_accuracy, best, seconds
            )
            if epoch - best_epoch >= int(recipe["patience"]):
                break
    finally:
        network.load_state_dict(best_state)


class _Steps:
    """The steps of one fit, from batches to new weights."""

    def __init__(self, stage: Stage, recipe: Mapping[str, Value], n_classes: int, device: torch.device) -> None:
        self.network = stage.network
        self.loss = stage.loss or partial(_cross_entropy, self.network)
        self.augmentation = Augmentation.of(recipe, n_classes)
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=recipe["precision"] == "bf16")
        strength = float(recipe.get("balance", 0.0))
        self.balance = Balance(self.network, strength) if strength else None
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(
            self.balance.groups() if self.balance else trained,
            lr=float(recipe["learning_rate"]),
            weight_decay=float(recipe["weight_decay"]),
            fused=True,
        )

    def run(self, train: Examples, batches: tuple[Tensor, ...], epoch: int) -> tuple[float, float | None]:
        """One pass over `batches` of indices; mean loss and accuracy of the passing network, dropout on.

        A batch of a single example is passed over, so that there must be at least two. The loss is the cross-entropy
        with what the clips are, mixed as they may be, whatever else training minimises; mixed clips have no accuracy.
        """
        self.network.train()
        outputs, targets = [], []
        for rows in batches:
            if len(rows) > 1:  # BatchNorm has no variance of one clip
                batch = Batch(*(part.index_select(0, rows) for part in (train.audio, train.video, train.labels)))
                batch = self.augmentation.apply(batch)
                outputs.append(self._step(batch, epoch))
                targets.append(batch.targets)
        output, target = torch.cat(outputs), torch.cat(targets)
        if target.ndim == 2:
            return float(nn.functional.cross_entropy(output, target)), None
        return _assess(output, target)

    def _step(self, batch: Batch, epoch: int) -> Tensor:
        """Move the weights by one batch; the scores [B, C] from before."""
        with self.autocast:
            output, loss = self.loss(batch.audio, batch.video, self.augmentation.smoothed(batch.targets), epoch)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        with self.balance.damped(self.optimizer, batch) if self.balance else nullcontext():
            self.optimizer.step()
        return output.detach()


def _cross_entropy(
    network: nn.Module, audio: Tensor, video: Tensor, targets: Tensor, epoch: int
) -> tuple[Tensor, Tensor]:
    """The loss of most stages; see `avfusion.fusion.base.Loss`."""
    output = network(audio, video).float()
    return output, nn.functional.cross_entropy(output, targets)


def _assess(output: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of scores [N, C]."""
    loss = nn.functional.cross_entropy(output, labels)
    return float(loss), float((output.argmax(1) == labels).float().mean())


def _copy(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Overwrite `state` with the values of `network`: fresh memory would cost more than copying."""
    for name, value in network.state_dict().items():
        state[name].copy_(value)
