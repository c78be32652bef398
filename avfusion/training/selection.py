"""Choosing among trained variants by their validation clips: the test clips say how good the chosen one is.

Other choices by validation clips: the epoch in `experiment`, alpha in `alpha_sweep`, the hyperparameters in
`avfusion.tuning`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from avfusion.training.experiment import Result


@dataclass(frozen=True)
class Candidate:
    """A trained variant that could become the champion, the model that predict takes by that name."""

    name: str
    run_id: str
    """The run in MLflow that holds its model."""
    loss: float
    """Log loss on the validation clips in nats, mean over its seeds."""


def best_seed(results: Sequence[Result]) -> Result:
    """Of one variant trained with several seeds, the result with the lowest log loss on validation clips."""
    return min(results, key=lambda result: result.metrics["val/log_loss"])


def best_candidate(candidates: Sequence[Candidate]) -> Candidate:
    """The one with the lowest loss, of equals the first."""
    return min(candidates, key=lambda candidate: candidate.loss)


def ranking(candidates: Sequence[Candidate]) -> str:
    """The losses in words, the best first, as the reason for a choice.

    >>> ranking([Candidate("late", "run1", 0.5), Candidate("early", "run2", 0.25)])
    'lowest mean validation log loss: early 0.2500, late 0.5000'
    """
    ranked = sorted(candidates, key=lambda candidate: candidate.loss)
    listed = ", ".join(f"{candidate.name} {candidate.loss:.4f}" for candidate in ranked)
    return f"lowest mean validation log loss: {listed}" if len(ranked) > 1 else f"only choice: {listed}"
