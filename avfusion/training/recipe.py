"""The knobs of training that all variants share, and the learning rate from epoch to epoch.

Source: the study (Adam 1e-4 with weight decay 1e-4, batch 128, at most 100 epochs, learning rate x0.1 on a plateau of
the validation loss, stop after 7 epochs without improvement, keep the epoch with the lowest loss).
"""

from collections.abc import Callable, Mapping

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from avfusion.fusion.hyperparameters import Choice, Hyperparameter, Real, Value, Whole

SCHEDULERS = ("plateau", "cosine")

RECIPE: Mapping[str, Hyperparameter] = {
    "learning_rate": Real(1e-4, low=1e-8, high=1.0, search=(1e-5, 1e-2), log=True),
    "weight_decay": Real(1e-4, low=0.0, high=1.0, search=(1e-6, 1e-2), log=True),
    "batch_size": Whole(128, low=2, high=65536, search=(32, 64, 128, 256)),
    "epochs": Whole(100, low=1, high=100_000),
    "patience": Whole(7, low=1, high=100_000),
    "precision": Choice("float32", ("float32", "bf16")),
    "scheduler": Choice("plateau", SCHEDULERS, search=SCHEDULERS),
    "label_smoothing": Real(0.0, low=0.0, high=0.99, search=(0.0, 0.05, 0.1, 0.2)),
    "mixup": Real(0.0, low=0.0, high=100.0, search=(0.0, 0.1, 0.2, 0.5)),
    "modality_dropout": Real(0.0, low=0.0, high=1.0, search=(0.0, 0.1, 0.2, 0.3)),
    "balance": Real(0.0, low=0.0, high=100.0, search=(0.0, 0.2, 0.4, 0.8)),
}
"""The study's values are the defaults; what the study does not have is off, and a search may leave it off.

`precision=bf16` lets training multiply matrices in bf16 (torch's autocast). It is meant for hardware that does so
(NVIDIA GPUs since Ampere, CPUs with AMX), and slow elsewhere. Weights, their updates and all scores on validation and
test clips stay in float32; the training loss is that of the bf16 passes.

`scheduler` is that of the learning rate, see `make_scheduler`. `label_smoothing`, `mixup` and `modality_dropout` change
what a batch shows, see `avfusion.training.augmentation`, and `balance` how far it moves whom, see
`avfusion.training.balance`.
"""

PLATEAU_PATIENCE = 3
PLATEAU_THRESHOLD = 1e-4
PLATEAU_FACTOR = 0.1


def make_scheduler(optimizer: Optimizer, recipe: Mapping[str, Value]) -> Callable[[float], None]:
    """What to call after each epoch with its validation loss; it sets the learning rate of the next.

    `plateau` multiplies it by 0.1 after four epochs without improvement. `cosine` takes it along half a wave, from its
    value in the first epoch to 0 after the last of `epochs`, however soon training stops.
    """
    if recipe["scheduler"] == "cosine":
        cosine = CosineAnnealingLR(optimizer, T_max=int(recipe["epochs"]))
        return lambda _: cosine.step()
    return ReduceLROnPlateau(
        optimizer, factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE, threshold=PLATEAU_THRESHOLD
    ).step
