"""The two building blocks that the study's variants share, and the knobs that go with them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avfusion.fusion.hyperparameters import Hyperparameter, Real, Switch, Whole

DROPOUT = Real(0.2, low=0.0, high=0.95, search=(0.0, 0.6))
HIDDEN = Whole(512, low=1, high=8192, search=(128, 256, 512, 1024))
EMBEDDING = Whole(128, low=1, high=8192, search=(64, 128, 256))
OUTPUT_HIDDEN = Whole(256, low=1, high=8192, search=(64, 128, 256, 512))
OUTPUT_RELU = Switch(False)
BRANCH: Mapping[str, Hyperparameter] = {
    "dropout": DROPOUT,
    "hidden": HIDDEN,
    "embedding": EMBEDDING,
    "output_hidden": OUTPUT_HIDDEN,
    "output_relu": OUTPUT_RELU,
}
"""The knobs of `scoring_branch`."""
EMBED_AND_CLASSIFY: Mapping[str, Hyperparameter] = {
    name: BRANCH[name] for name in ("dropout", "hidden", "embedding", "output_relu")
}
"""The knobs of a network of Blocks followed by an output network as wide as one embedding."""


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014) that draws its masks faster on a CPU: four elements from each random number.

    Of 16 random bits an element: the share dropped is `p`, in [0, 1), rounded to a multiple of 2**-16 below 1. What is
    kept is divided by exactly the share kept.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """`values` of any shape, in training some of them zeroed and the others scaled up."""
        if not self.training or values.device.type != "cpu":
            return nn.functional.dropout(values, self.p, self.training)
        n_dropped = min(round(self.p * 2**16), 2**16 - 1)
        draws = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.int16)[: values.numel()].view(values.shape) >= n_dropped - 2**15
        return values * kept * (2**16 / (2**16 - n_dropped))

    def extra_repr(self) -> str:
        """What `print` shows of it."""
        return f"p={self.p}"


def block(n_in: int, n_out: int, *, hidden: int, dropout: float) -> nn.Sequential:
    """Linear(n_in, hidden), BatchNorm, ReLU, Dropout, Linear(hidden, n_out): the study's Block."""
    return nn.Sequential(
        nn.Linear(n_in, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        Dropout(dropout),
        nn.Linear(hidden, n_out),
    )


def output_network(n_in: int, hidden: int, n_classes: int, *, relu: bool) -> nn.Sequential:
    """Linear(n_in, hidden), Linear(hidden, n_classes).

    The study has no activation between the two; `relu` puts one there, as other solutions of the same course do.
    """
    between = [nn.ReLU()] if relu else []
    return nn.Sequential(nn.Linear(n_in, hidden), *between, nn.Linear(hidden, n_classes))


def scoring_branch(
    n_in: int, n_classes: int, *, dropout: float, hidden: int, embedding: int, output_hidden: int, output_relu: bool
) -> nn.Sequential:
    """Block(embedding), then an output network: one modality's class scores, as late fusion mixes them."""
    return nn.Sequential(
        block(n_in, embedding, hidden=hidden, dropout=dropout),
        output_network(embedding, output_hidden, n_classes, relu=output_relu),
    )
