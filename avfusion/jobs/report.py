"""The job `report`: every table and figure of the study, published beside ours."""

from pathlib import Path

from avfusion.errors import UserError
from avfusion.report.cautions import cautions
from avfusion.report.claims import JUDGES
from avfusion.report.contents import build_document
from avfusion.report.document import signed
from avfusion.report.gathering import material_of_experiment, material_of_folder
from avfusion.report.material import Material
from avfusion.report.published import CLAIMS, SCORES
from avfusion.report.writing import PICTURES, write_report
from avfusion.tracking.runs import job_run, log_asked, log_file, log_folder
from avfusion.tracking.session import connect

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
    with job_run("report"):
        log_asked({"experiment": experiment, "predictions": predictions})
        log_file(page)
        log_file(text)
        log_folder(folder / PICTURES, PICTURES)
    return [*_scores(material), "", *_claims(material), "", f"report   {page.resolve()}", f"         {text.resolve()}"]


def _scores(material: Material) -> list[str]:
    """Every model in a line: accuracy and log loss, and the difference from the study's on its data."""
    lines = ["", f"{len(material.first)} test clips from {material.source}", ""]
    for model in material.variants:
        found = model.metrics["accuracy"], model.metrics["log_loss"]
        line = f"{model.title:26} accuracy {found[0]:.3f}  log loss {found[1]:.3f}"
        if model.name in SCORES:
            theirs = SCORES[model.name]
            gaps = ", ".join(signed(round(mine, 3) - other) for mine, other in zip(found, theirs, strict=True))
            reference = ", reference only" if material.not_tau else f"; difference {gaps}"
            line += f"  (published {theirs[0]:.3f}, {theirs[1]:.3f}{reference})"
        lines.append(line)
    notes = [f"note     {model.title}: {model.remarks}" for model in material.variants if model.remarks]
    return [*lines, *([""] if notes else []), *notes]


def _claims(material: Material) -> list[str]:
    about = " (about these data, not about the study)" if material.not_tau else ""
    outcomes = (f"({letter}) {JUDGES[letter](material).outcome.value:11}  {text}" for letter, text in CLAIMS.items())
    return [f"the study's claims{about}", *outcomes, "", *cautions(material)]
