"""Dropout against its definition: the share that is dropped, the scale of the rest, its gradient, its seed."""

import pytest
import torch

from avfusion.fusion.blocks import Dropout


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.95, 1 - 2**-20])
def test_drops_the_share_and_scales_the_rest(p: float) -> None:
    torch.manual_seed(0)
    ones = torch.ones(1000, 1001)
    dropped = Dropout(p).train()(ones)
    share = min(round(p * 2**16), 2**16 - 1) / 2**16
    assert share == pytest.approx(p, abs=2**-16)
    assert set(dropped.flatten().tolist()) <= {0.0, torch.tensor(1 / (1 - share)).item()}
    deviation = (share * (1 - share) / ones.numel()) ** 0.5
    assert (dropped == 0).double().mean().item() == pytest.approx(share, abs=5 * deviation)


def test_every_position_and_neighbour_is_independent() -> None:
    torch.manual_seed(1)
    kept = (Dropout(0.2).train()(torch.ones(20_000, 8)) != 0).double()
    assert torch.allclose(kept.mean(0), torch.tensor(0.8).double(), atol=5 * (0.16 / 20_000) ** 0.5)
    correlation = torch.corrcoef(kept.T) - torch.eye(8)
    assert correlation.abs().max() < 5 / 20_000**0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_passes_the_gradient_of_what_it_kept(dtype: torch.dtype) -> None:
    torch.manual_seed(3)
    values = torch.randn(50, 7).to(dtype).requires_grad_()
    dropped = Dropout(0.5).train()(values)
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    assert set(gradient.flatten().tolist()) == {0.0, 2.0}
    assert torch.equal(gradient * values, dropped) and dropped.dtype == dtype


def test_follows_the_seed_and_does_nothing_in_evaluation() -> None:
    values, dropout = torch.randn(3, 5, 2, dtype=torch.float64), Dropout(0.3).train()
    torch.manual_seed(2)
    once = dropout(values)
    torch.manual_seed(2)
    assert torch.equal(once, dropout(values)) and once.dtype == values.dtype
    assert not torch.equal(once, dropout(values))
    assert torch.equal(dropout.eval()(values), values)
