"""The job `report`: every table and figure of the study, published beside ours."""

from itertools import chain
from pathlib import Path
from textwrap import wrap

import pandas as pd

from avfusion.errors import UserError
from avfusion.jobs.pages import log_page
from avfusion.jobs.text_tables import WIDTH, text_table
from avfusion.report.cautions import cautions
from avfusion.report.claims import JUDGES
from avfusion.report.contents import build_document
from avfusion.report.document import signed
from avfusion.report.gathering import material_of_experiment, material_of_folder
from avfusion.report.material import Material
from avfusion.report.published import CLAIMS, SCORES
from avfusion.report.writing import write_report
from avfusion.tracking.runs import job_run, log_asked
from avfusion.tracking.session import connect
from avfusion.tracking.views import PAGES, view_lines

OUTPUT = Path("runs/report")
"""Folder of the report unless another is named."""


def report_job(*, experiment: str | None, predictions: Path | None, output: Path | None) -> list[str]:
    """Write every table and figure of the study, published beside ours, as one page.

    Args:
        experiment: name or id of an MLflow experiment whose runs are reported, or
        predictions: a folder of prediction files; exactly one of the two is needed.
        output: folder of the page; None is `OUTPUT`.

    Returns the lines to show. Raises `UserError` for input that cannot be used.
    """
    if (experiment is None) == (predictions is None):
        given = "both" if experiment else "neither"
        raise UserError(
            f"report needs one of experiment and predictions, got {given}: give experiment=NAME for runs in MLflow, or "
            "predictions=FOLDER for a folder of prediction files"
        )
    folder = output or OUTPUT
    connect()
    material = material_of_folder(predictions) if predictions else material_of_experiment(str(experiment))
    page, text = write_report(build_document(material), folder)
    with job_run("report") as run:
        log_asked({"experiment": experiment, "predictions": predictions})
        log_page("report", material, page, text)
        ui = view_lines(run.info.experiment_id, PAGES)
    files = [f"report   {page.resolve()}", f"         {text.resolve()}"]
    return [*_scores(material), "", *_claims(material), "", *files, *ui]


def _scores(material: Material) -> list[str]:
    """Every model in a line: accuracy and log loss beside the study's, and how far from it where the data are TAU's."""
    rows = []
    for model in material.variants:
        found = (model.metrics["accuracy"], model.metrics["log_loss"])
        cells = map(_beside, found, SCORES.get(model.name, (None, None)))
        rows.append((model.title, *chain.from_iterable(cells)))
    table = pd.DataFrame(rows, columns=["", *("accuracy", "study", "differs"), *("log_loss", "study", "differs")])
    if material.not_tau:
        table = table.drop(columns="differs")  # both
    only = "; the study's are for reference only, its data were others" if material.not_tau else ""
    notes = [f"note     {model.title}: {model.remarks}" for model in material.variants if model.remarks]
    about = f"{len(material.first)} test clips from {material.source}{only}"
    return ["", about, "", *text_table(table), *([""] if notes else []), *notes]


def _beside(mine: float, theirs: float | None) -> tuple[str, str, str]:
    """A score of ours, the study's, and the difference of what is shown; dashes where the study has none."""
    if theirs is None:
        return f"{mine:.3f}", "–", "–"
    return f"{mine:.3f}", f"{theirs:.3f}", signed(round(mine, 3) - theirs)


def _claims(material: Material) -> list[str]:
    about = " (about these data, not about the study)" if material.not_tau else ""
    outcomes = (f"({letter}) {JUDGES[letter](material).outcome.value:11}  {text}" for letter, text in CLAIMS.items())
    lines = (wrap(line, WIDTH, subsequent_indent=" " * 17) for line in outcomes)
    return [f"the study's claims{about}", *chain.from_iterable(lines), "", *cautions(material)]
