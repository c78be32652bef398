"""Training as it is usually written: plain `torch.optim.Adam` on torch's own modules, in float32."""

import time
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from avfusion.fusion.blocks import Dropout
from avfusion.fusion.hyperparameters import Value
from avfusion.system.seeds import derive_seed
from avfusion.training.fit import Examples
from benchmarks.tau_features import BATCH, DIM, N_CLASSES, Batch


def use_torch_dropout(network: nn.Module) -> None:
    """Put torch's own dropout in place of ours in `network`."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, Dropout):
                setattr(module, name, nn.Dropout(child.p))


def plain_adam(network: nn.Module, params: dict[str, Value]) -> torch.optim.Adam:
    """Adam as it comes, which on a CPU is a loop over the parameters."""
    rate, decay = float(params["learning_rate"]), float(params["weight_decay"])
    return torch.optim.Adam(network.parameters(), lr=rate, weight_decay=decay)


def plain_epoch(
    network: nn.Module, adam: torch.optim.Optimizer, train: Iterable[Batch], held_out: Iterable[Batch]
) -> tuple[float, float]:
    """An epoch's seconds, and its accuracy on `held_out`."""
    started, right = time.perf_counter(), []
    network.train()
    for audio, video, labels in train:
        adam.zero_grad()
        nn.functional.cross_entropy(network(audio, video), labels).backward()  # type: ignore[no-untyped-call]
        adam.step()
    network.eval()
    with torch.no_grad():
        for audio, video, labels in held_out:
            right.append(network(audio, video).argmax(1) == labels)
    accuracy = float(torch.cat(right).float().mean())
    return time.perf_counter() - started, accuracy


class InMemory:
    """Batches of examples in the order of `avfusion.training.fit.fit`, each pass another."""

    def __init__(self, examples: Examples, seed: int | None) -> None:
        self.examples = examples
        self.order = torch.Generator().manual_seed(derive_seed("order", seed)) if seed is not None else None

    def __iter__(self) -> Iterator[Batch]:
        n = len(self.examples)
        for rows in torch.split(torch.randperm(n, generator=self.order) if self.order else torch.arange(n), BATCH):
            yield self.examples.audio[rows], self.examples.video[rows], self.examples.labels[rows]


def examples(n_clips: int, n_frames: int, seed: int, signal: float = 0.03) -> Examples:
    """Noise; each class shifts every dimension of both modalities by its own amount, `signal` on the average."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n_clips) % N_CLASSES
    shifts = signal * torch.randn(2, N_CLASSES, 1, DIM, generator=torch.Generator().manual_seed(0))
    audio, video = (
        torch.randn(n_clips, n_frames, DIM, generator=generator).add_(shifts[modality][labels]) for modality in range(2)
    )
    return Examples(audio, video, labels)
