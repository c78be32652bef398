"""The job `report`: every table and figure of the study, published beside ours."""

from pathlib import Path

from avfusion.errors import UserError
from avfusion.jobs.options import read_output
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


def report_job(*, experiment: str, predictions: str, output: str) -> list[str]:
    """Write the report on an MLflow experiment or a folder of prediction files; returns what to tell people.

    Raises `UserError` unless exactly one of `experiment` and `predictions` is given and can be used.
    """
    if (experiment == "none") == (predictions == "none"):
        given = "both" if experiment != "none" else "neither"
        raise UserError(
            f"report needs one of experiment and predictions, got {given}: give experiment=NAME for runs in MLflow, or "
            "predictions=FOLDER for a folder of prediction files"
        )
    folder = read_output(str(OUTPUT) if output == "none" else output)
    connect()
    material = material_of_folder(Path(predictions)) if experiment == "none" else material_of_experiment(experiment)
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
    return [f"the study's claims{about}", *outcomes]
