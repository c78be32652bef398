"""What `compare` and `report` leave in MLflow: their page, linked with the runs that it is about."""

from pathlib import Path

from avfusion.analysis.variant_answers import SideBySide
from avfusion.report.writing import PICTURES
from avfusion.tracking.lookup import SIDE_BY_SIDE
from avfusion.tracking.notes import note_page
from avfusion.tracking.runs import log_batch, log_file, log_folder, set_tags


def log_page(job: str, found: SideBySide, page: Path, text: Path, said: str = "") -> None:
    """The page of `job` about the variants in `found`, in both its forms and with its pictures, into the active run.

    What is `said` of them stands in the run's note.
    """
    log_batch({"clips": len(found.first)}, {})
    set_tags({SIDE_BY_SIDE: ", ".join(variant.name for variant in found.variants), **found.tags})
    log_file(page)
    log_file(text)
    log_folder(page.parent / PICTURES, PICTURES)
    note_page(job, page.name, {variant.name: variant.run_id for variant in found.variants}, said)
