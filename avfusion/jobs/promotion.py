"""The option `promote` of `compare` and `tune`: the best variant becomes the champion, the model of that name."""

from collections.abc import Sequence

from avfusion.errors import UserError
from avfusion.tracking.lookup import find_run
from avfusion.tracking.models import CHAMPION, REGISTERED, check_model, promote
from avfusion.tracking.runs import set_tags
from avfusion.tracking.starting import next_line
from avfusion.training.selection import Candidate, best_candidate, ranking


def check_promotable(candidates: Sequence[Candidate]) -> None:
    """Raise `UserError` if the run of the best of `candidates` has no model: said before any work, not after it."""
    best = best_candidate(candidates)
    try:
        check_model(best.run_id)
    except UserError as error:
        raise UserError(f"promote=true: {best.name} is the best ({ranking(candidates)}), but {error}") from error


def promote_best(candidates: Sequence[Candidate]) -> list[str]:
    """Make the best of `candidates` the champion; tells why, in tags of the active run and in the lines returned.

    Raises `UserError` if the run of the best has no model.
    """
    check_promotable(candidates)
    best, reason = best_candidate(candidates), ranking(candidates)
    version = promote(best.run_id)
    set_tags({"promoted_version": version, "promoted_run": best.run_id, "promoted_because": reason})
    return [
        f"promoted {best.name}, {find_run(best.run_id).title}: version {version} of {REGISTERED} is its {CHAMPION}",
        f"         because of the {reason}",
        next_line("predict", model=f"models:/{REGISTERED}@{CHAMPION}", clip="FILE"),
    ]
