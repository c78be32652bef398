"""Which of several trained variants becomes the champion, the model that predict takes by that name.

The choice is by validation: the test split is there to say how good the chosen one is, and must not choose.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from avfusion.errors import UserError
from avfusion.tracking.lookup import find_run
from avfusion.tracking.models import CHAMPION, REGISTERED, check_model, promote
from avfusion.tracking.runs import set_tags


@dataclass(frozen=True)
class Candidate:
    """A trained variant that could be promoted."""

    name: str
    run_id: str
    """The run that holds its model."""
    loss: float
    """Log loss on the validation clips in nats, mean over its seeds."""


def best_candidate(candidates: Sequence[Candidate]) -> Candidate:
    """The one with the lowest loss, of equals the first; `UserError` if its run has no model."""
    best = min(candidates, key=lambda candidate: candidate.loss)
    try:
        check_model(best.run_id)
    except UserError as error:
        raise UserError(f"promote=true: {best.name} is the best ({_reason(candidates)}), but {error}") from error
    return best


def promote_best(candidates: Sequence[Candidate]) -> list[str]:
    """Make the best of `candidates` the champion; tells why, to people in lines and in tags of the active run.

    Raises `UserError` if the run of the best has no model.
    """
    best, reason = best_candidate(candidates), _reason(candidates)
    version = promote(best.run_id)
    set_tags({"promoted_version": version, "promoted_run": best.run_id, "promoted_because": reason})
    return [
        f"promoted {best.name}, {find_run(best.run_id).title}: version {version} of {REGISTERED} is its {CHAMPION}",
        f"         because of the {reason}",
        f"next     python -m entrypoints.predict --model models:/{REGISTERED}@{CHAMPION} --clip FILE",
    ]


def _reason(candidates: Sequence[Candidate]) -> str:
    ranked = sorted(candidates, key=lambda candidate: candidate.loss)
    listed = ", ".join(f"{candidate.name} {candidate.loss:.4f}" for candidate in ranked)
    return f"lowest mean validation log loss: {listed}" if len(ranked) > 1 else f"only choice: {listed}"
