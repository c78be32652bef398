"""Training by the study's recipe: one record per epoch, nothing known of MLflow.

Source of the recipe: the study (Adam 1e-4 with weight decay 1e-4, batch 128, at most 100 epochs, learning rate x0.1
on a plateau of the validation loss, stop after 7 epochs without improvement, keep the epoch with the lowest loss).

Shapes: N clips, T frames, Da and Dv feature dimensions, C classes.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avfusion.errors import UserError
from avfusion.fusion import FusionNetwork
from avfusion.fusion.hyperparameters import Choice, Hyperparameter, Real, Value, Whole
from avfusion.system.memory import keep_freed_memory
from avfusion.system.seeds import derive_seed

RECIPE: Mapping[str, Hyperparameter] = {
    "learning_rate": Real(1e-4, low=1e-8, high=1.0, search=(1e-5, 1e-2), log=True),
    "weight_decay": Real(1e-4, low=0.0, high=1.0, search=(1e-6, 1e-2), log=True),
    "batch_size": Whole(128, low=2, high=65536, search=(32, 64, 128, 256)),
    "epochs": Whole(100, low=1, high=100_000),
    "patience": Whole(7, low=1, high=100_000),
    "precision": Choice("float32", ("float32", "bf16")),
}
"""The knobs that all variants share, with the study's values as defaults.

`precision=bf16` lets training multiply matrices in bf16 (torch's autocast). It is meant for hardware that does so
(NVIDIA GPUs since Ampere, CPUs with AMX), and slow elsewhere. Weights, their updates and all scores on validation and
test clips stay in float32; the training loss is that of the bf16 passes.
"""

PLATEAU_PATIENCE = 3
PLATEAU_THRESHOLD = 1e-4
PLATEAU_FACTOR = 0.1


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
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    best: bool
    """Whether its validation loss is the lowest so far."""
    seconds: float


def fit_stages(
    network: FusionNetwork, train: Examples, validation: Examples, recipe: Mapping[str, Value], seed: int
) -> Iterator[Epoch]:
    """Train `network` in place, stage after stage, then calibrate it; yields an `Epoch` after each epoch of each."""
    for stage in network.stages():
        training, held_out = (s.single_frames() if stage.single_frames else s for s in (train, validation))
        yield from fit(stage.network, training, held_out, recipe, derive_seed(seed, stage.name), stage.name)
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


def fit(
    network: nn.Module,
    train: Examples,
    validation: Examples,
    recipe: Mapping[str, Value],
    seed: int,
    stage: str = "",
) -> Iterator[Epoch]:
    """Train `network` in place, yielding an `Epoch` after each; at the end it holds its best epoch's weights.

    `train` has at least two examples (see `SplitFeatures.check_trainable`). `recipe` has the names of `RECIPE`. `seed`
    fixes the order of batches and dropout; the global random state is left as it was. The caller may stop early by
    closing the iterator: the best weights so far are then restored too.
    """
    keep_freed_memory()
    device = next(network.parameters()).device
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(
        trained, lr=float(recipe["learning_rate"]), weight_decay=float(recipe["weight_decay"]), fused=True
    )
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE, threshold=PLATEAU_THRESHOLD
    )
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=recipe["precision"] == "bf16")
    order = torch.Generator().manual_seed(derive_seed("order", seed))
    best_loss, best_epoch = float("inf"), 0
    best_state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    try:
        for epoch in range(1, int(recipe["epochs"]) + 1):
            started = time.perf_counter()
            learning_rate = float(optimizer.param_groups[0]["lr"])
            permutation = torch.randperm(len(train), generator=order).to(device)
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(derive_seed("dropout", seed, epoch))
                batches = torch.split(permutation, int(recipe["batch_size"]))
                train_loss, train_accuracy = _train_epoch(network, train, batches, optimizer, autocast)
            val_loss, val_accuracy = _assess(scores(network, validation), validation.labels)
            if not math.isfinite(train_loss + val_loss):
                raise UserError(
                    f"training diverged in epoch {epoch} (loss {train_loss:g}, validation {val_loss:g}); "
                    f"lower learning_rate={recipe['learning_rate']}"
                )
            if best := val_loss < best_loss:
                best_loss, best_epoch = val_loss, epoch
                _copy(network, best_state)
            scheduler.step(val_loss)
            seconds = time.perf_counter() - started
            yield Epoch(stage, epoch, learning_rate, train_loss, train_accuracy, val_loss, val_accuracy, best, seconds)
            if epoch - best_epoch >= int(recipe["patience"]):
                break
    finally:
        network.load_state_dict(best_state)


def _train_epoch(
    network: nn.Module,
    train: Examples,
    batches: tuple[Tensor, ...],
    optimizer: torch.optim.Optimizer,
    autocast: torch.autocast,
) -> tuple[float, float]:
    """One pass over `batches` of indices; mean loss and accuracy of the passing network, dropout on.

    A batch of a single example is passed over, so that there must be at least two.
    """
    network.train()
    batches = tuple(batch for batch in batches if len(batch) > 1)  # BatchNorm has no variance of one clip
    outputs = []
    for batch in batches:
        with autocast:
            output = network(train.audio.index_select(0, batch), train.video.index_select(0, batch)).float()
        loss = nn.functional.cross_entropy(output, train.labels[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        outputs.append(output.detach())
    return _assess(torch.cat(outputs), train.labels[torch.cat(batches)])


def _assess(output: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of scores [N, C]."""
    loss = nn.functional.cross_entropy(output, labels)
    return float(loss), float((output.argmax(1) == labels).float().mean())


def _copy(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Overwrite `state` with the values of `network`: fresh memory would cost more than copying."""
    for name, value in network.state_dict().items():
        state[name].copy_(value)
