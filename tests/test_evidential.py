"""Evidential fusion against the distributions that it is about."""

import pytest
import torch
from torch.distributions import Dirichlet, kl_divergence

from avfusion.fusion import Shape
from avfusion.fusion.base import Stage
from avfusion.fusion.evidential import (
    EvidentialFusion,
    combined,
    divergence_from_uniform,
    evidence_loss,
    log_probabilities,
    uncertainty,
)
from avfusion.fusion.hyperparameters import resolve
from avfusion.training.fit import Examples, fit
from avfusion.training.recipe import RECIPE

EVIDENCE = torch.tensor([[0.0, 0.0, 0.0], [4.0, 1.0, 0.5], [0.2, 9.0, 30.0]])


def make(**given: str) -> EvidentialFusion:
    torch.manual_seed(0)
    params = resolve(EvidentialFusion.hyperparameters, {"hidden": "8", "embedding": "8", "output_hidden": "8", **given})
    return EvidentialFusion(Shape(4, 4, 1, 3), **params)  # type: ignore[arg-type]


def examples(n_clips: int = 24) -> Examples:
    generator = torch.Generator().manual_seed(0)
    audio, video = torch.randn(2, n_clips, 1, 4, generator=generator)
    labels = torch.arange(n_clips) % 3
    audio[..., :3] += 2 * torch.eye(3)[labels][:, None]
    return Examples(audio, video, labels)


def test_divergence_is_that_of_the_distributions() -> None:
    expected = kl_divergence(Dirichlet(EVIDENCE + 1), Dirichlet(torch.ones(3, 3)))
    torch.testing.assert_close(divergence_from_uniform(EVIDENCE + 1), expected, rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_expected_cross_entropy() -> None:
    torch.manual_seed(0)
    shares = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    samples = Dirichlet(EVIDENCE + 1).sample((200_000,))
    sampled = -(shares * samples.log()).sum(2).mean(0).mean()
    torch.testing.assert_close(evidence_loss(EVIDENCE, shares, 0.0), sampled, rtol=0.01, atol=0.0)


def test_evidence_for_the_true_class_alone_costs_no_divergence() -> None:
    shares, only = torch.eye(3), 5 * torch.eye(3)
    assert torch.equal(evidence_loss(only, shares, 1.0), evidence_loss(only, shares, 0.0))
    wrong = only[[1, 2, 0]]
    assert evidence_loss(wrong, shares, 1.0) > evidence_loss(wrong, shares, 0.0) + 1


def test_who_knows_nothing_changes_nothing() -> None:
    nothing = torch.zeros(3, 3)
    assert torch.equal(combined(EVIDENCE, nothing), EVIDENCE)
    assert uncertainty(nothing).tolist() == [1.0] * 3
    torch.testing.assert_close(log_probabilities(nothing).exp(), torch.full((3, 3), 1 / 3))
    assert (uncertainty(combined(EVIDENCE, EVIDENCE))[1:] < uncertainty(EVIDENCE)[1:]).all()


def test_the_divergence_grows_over_the_first_epochs() -> None:
    network, data = make(annealing="4").eval(), examples()
    losses = [network.loss(data.audio, data.video, data.labels, epoch)[1].item() for epoch in (1, 2, 4, 9)]
    assert losses[1] - losses[0] == pytest.approx((losses[2] - losses[0]) / 3, rel=1e-3)
    assert losses[0] < losses[2] == losses[3]


def test_shares_of_one_class_are_that_class() -> None:
    network, data = make().eval(), examples()
    by_class = network.loss(data.audio, data.video, data.labels, 3)
    by_share = network.loss(data.audio, data.video, torch.eye(3)[data.labels], 3)
    assert torch.equal(by_class[0], by_share[0]) and torch.equal(by_class[1], by_share[1])


def test_training_minimises_its_own_loss_and_is_judged_by_cross_entropy() -> None:
    network, data = make(dropout="0"), examples()
    recipe = resolve(RECIPE, {"epochs": "1", "batch_size": "64", "learning_rate": "0.01"})
    network.train()
    scores, before = network.loss(data.audio, data.video, data.labels, 1)
    (epoch,) = fit(next(iter(network.stages())), data, data, recipe, 0)
    assert epoch.train_loss == pytest.approx(torch.nn.functional.cross_entropy(scores, data.labels).item(), rel=1e-5)
    network.train()
    assert network.loss(data.audio, data.video, data.labels, 1)[1] < before
    other = make(dropout="0")
    list(fit(Stage("", other), data, data, recipe, 0))
    assert not torch.equal(other.audio[1][1].weight, network.audio[1][1].weight)  # type: ignore[index]
