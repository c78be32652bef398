"""The contenders of a comparison as candidates for promotion."""

from dataclasses import replace

from avfusion.analysis.contenders import same_clips
from avfusion.analysis.entries import Entries
from avfusion.errors import UserError
from avfusion.training.selection import Candidate


def candidates_of(entries: Entries) -> list[Candidate]:
    """Each contender with its validation log loss, on the validation clips that all of them answered.

    `UserError` for files, which hold no model, and for validation answers that cannot stand side by side.
    """
    if entries.model_runs is None:
        raise UserError("promote=true: prediction files hold no model; compare runs instead")
    answers = [replace(contender, seeds=contender.validation) for contender in entries.contenders]
    try:
        aligned, _ = same_clips(answers)
    except UserError as error:
        raise UserError(f"promote=true: on validation clips, {error}") from error
    return [
        Candidate(contender.name, entries.model_runs[contender.name], float(contender.values("log_loss").mean()))
        for contender in aligned
    ]
