"""The job `predict`: any clips in, their scenes out, by a model that MLflow keeps."""

import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from avfusion.errors import UserError
from avfusion.features.parts import Part
from avfusion.features.provenance import embedder_in_words, note
from avfusion.figures import clip_timeline
from avfusion.figures.style import DOTS_PER_INCH
from avfusion.serving.answers import Answer, answer, class_column
from avfusion.serving.embedding import carried_weights, check_named
from avfusion.serving.extractor import Extractor
from avfusion.serving.queries import Query, find_queries
from avfusion.serving.timeline import make_timeline
from avfusion.system.device import choose_device
from avfusion.system.files import replacing, write_atomically
from avfusion.system.names import file_names
from avfusion.system.processes import available_cores
from avfusion.system.progress import show_progress
from avfusion.system.work_folder import WorkFolder
from avfusion.tracking.models import fetch_model
from avfusion.tracking.runs import job_run, log_batch, log_file
from avfusion.tracking.session import connect
from avfusion.tracking.ui import run_page, ui_lines
from avfusion.training.classifier import Classifier
from avfusion.training.ensemble import open_classifier

OUTPUT = Path("runs/predict")
"""Folder of what is written unless another is named."""
PREDICTIONS, TIMELINES = "predictions.csv", "timelines"
MOST_LINES = 20
"""Clips that are told of one by one."""

_log = logging.getLogger(__name__)


def predict_job(
    *,
    model: str,
    clip: Path | None,
    audio: Path | None,
    video: Path | None,
    output: Path | None,
    timeline: float | None,
    embedder: str | None,
    weights: str | None,
    device: str,
    workers: int,
    timeout: float,
) -> list[str]:
    """Say which scene each clip shows; answers go to predictions.csv, timelines beside it, and all into a run.

    Args:
        model: runs:/ID/model, models:/avfusion/1, models:/avfusion@champion, or a folder.
        clip, audio, video: the clips, see `avfusion.serving.queries.find_queries`.
        output: folder to write; None is `OUTPUT`.
        timeline: clips longer than this many seconds get a timeline; None for no timelines.
        embedder: name that the embedder of the model's features must have; None takes it as it is.
        weights: of the embedder, a file or folder; None takes those of the model, or its own.
        device: of the embedder: `auto`, `cpu` or `cuda`.
        workers: processes that decode and embed.
        timeout: seconds that decoding one clip may take.

    Returns the lines to show. Raises `UserError` for what cannot be used, and if no clip can.
    """
    choose_device(device)
    queries = find_queries(clip, audio, video)
    connect()
    with WorkFolder() as temporary:
        fetched = fetch_model(model, temporary)
        classifier = open_classifier(fetched)
        trained_on = classifier.description.features["embedder"]
        check_named(trained_on, embedder)
        extractor = Extractor(
            trained_on,
            weights=weights or carried_weights(fetched),
            device=device,
            workers=min(workers, len(queries)),
            threads=1 if len(queries) > 1 else available_cores(),
            timeout=timeout,
        )
        with extractor, job_run("predict") as run:
            folder = (output or OUTPUT).absolute()
            prediction = Prediction(classifier, queries, folder, math.inf if timeline is None else timeline)
            seconds = prediction.run(extractor)
            table = prediction.table()
            _log_run(table, prediction, model, seconds)
            if not (table["scene"] != "").any():
                raise UserError(_all_failed(table))
            ui = ui_lines(run_page(run.info.experiment_id, run.info.run_id))
    return [*_lines(table, prediction), _rate(table, seconds), *ui]


def _log_run(table: pd.DataFrame, prediction: "Prediction", model: str, seconds: float) -> None:
    """The answers into the active run; `mlflow run` has logged the options, so that their names are taken."""
    metrics = {"clips": len(table), "failed_clips": _n_failed(table), "clips_per_second": len(table) / seconds}
    log_batch(
        {"model_uri": model, "model_embedder": embedder_in_words(prediction.classifier.description.features)},
        metrics,
    )
    log_file(prediction.output / PREDICTIONS)
    for file in prediction.timelines:
        log_file(file, TIMELINES)
        log_file(file.with_suffix(".csv"), TIMELINES)


class Prediction:
    """The answers to one list of clips, as they come in; clips longer than `timeline` seconds get one."""

    def __init__(self, classifier: Classifier, queries: list[Query], output: Path, timeline: float) -> None:
        self.classifier, self.queries, self.output, self.timeline = classifier, queries, output, timeline
        self.rows: dict[int, dict[str, object]] = {}
        self.timelines: list[Path] = []
        self._names = file_names(Path(query.id).stem for query in queries)
        output.mkdir(parents=True, exist_ok=True)

    def run(self, extractor: Extractor) -> float:
        """Answer every clip and write predictions.csv, of what was answered if stopped; returns the seconds it took."""
        started = time.perf_counter()
        parts = extractor.parts(self.queries, self.classifier.modalities)
        try:
            with show_progress("predicting", len(self.queries), "clip") as bar:
                for number, part in parts:
                    self.rows[number] = self._row(number, part)
                    bar.update()
        except KeyboardInterrupt:
            _log.warning(
                "%d of %d clips were answered, see %s",
                len(self.rows), len(self.queries), self.output / PREDICTIONS,
            )  # fmt: skip
            raise
        finally:
            write_atomically(self.output / PREDICTIONS, self.table().to_csv(index=False).encode())
        return time.perf_counter() - started

    def table(self) -> pd.DataFrame:
        """One row per answered clip in the order of the list; the scene of a clip that cannot be used is empty."""
        rows = [self.rows[number] for number in sorted(self.rows)]
        table = pd.DataFrame(rows, columns=["clip", "scene", "probability", "modalities", "note"])
        classes = [class_column(name) for name in self.classifier.description.classes]
        columns = [*classes, *self.classifier.diagnosed]
        scores = pd.DataFrame([row.get("scores", {}) for row in rows], columns=columns, dtype=float)
        return pd.concat([table, scores], axis=1)

    def _row(self, number: int, part: Part) -> dict[str, object]:
        said = "; ".join(filter(None, (self.queries[number].note, part.reason or part.note)))
        empty = {"clip": part.id, "scene": "", "probability": float("nan"), "modalities": ""}
        if part.reason:
            return {**empty, "note": said}
        features = {"audio": part.audio, "video": part.video}
        try:
            found = answer(self.classifier, features)
            if part.seconds > self.timeline:
                self._write_timeline(self._names[number], part, found, said)
        except UserError as error:
            return {**empty, "note": "; ".join(filter(None, (said, str(error))))}
        return {
            "clip": part.id,
            "scene": found.scene,
            "probability": found.probability,
            "modalities": "+".join(found.modalities),
            "note": said,
            "scores": {**found.class_columns, **found.diagnostics},
        }

    def _write_timeline(self, name: str, part: Part, found: Answer, said: str) -> None:
        """The timeline of one clip, as CSV and PNG."""
        steps = {"audio": part.audio_step, "video": part.video_step}
        made = make_timeline(self.classifier, {"audio": part.audio, "video": part.video}, steps)
        folder = self.output / TIMELINES
        folder.mkdir(exist_ok=True)
        write_atomically(folder / f"{name}.csv", made.table().to_csv(index=False).encode())
        remarks = "; ".join(filter(None, (note(self.classifier.description.features), said)))
        title = f"{part.id}: {found.scene} ({found.probability:.2f})"
        figure = clip_timeline(made.seconds, made.probabilities, made.classes, made.shares, title, note=remarks or None)
        with replacing(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=DOTS_PER_INCH, format="png")
        self.timelines.append(folder / f"{name}.png")


def _lines(table: pd.DataFrame, prediction: Prediction) -> Iterator[str]:
    """The answers, each on a line if they are few, and where everything is."""
    yield ""
    for row in table.head(MOST_LINES).to_dict("records"):
        remark = f"  ({row['note']})" if row["note"] else ""
        scene = f"{row['scene']:24} {row['probability']:.3f}" if row["scene"] else "cannot be used"
        yield f"{row['clip']}  {scene}{remark}"
    if len(table) > MOST_LINES:
        yield f"... and {len(table) - MOST_LINES} more"
    if warning := note(prediction.classifier.description.features):
        yield f"the model was made with: {warning}"
    yield ""
    yield f"answers   {prediction.output / PREDICTIONS}"
    if prediction.timelines:
        yield f"timelines {prediction.timelines[0]}" + (" ..." if len(prediction.timelines) > 1 else "")


def _rate(table: pd.DataFrame, seconds: float) -> str:
    rate = f"{len(table)} clips in {seconds:.1f} s, {len(table) / seconds:.2f} clips/s"
    return f"          {rate}; failed_clips={_n_failed(table)}"


def _n_failed(table: pd.DataFrame) -> int:
    return int((table["scene"] == "").sum())


def _all_failed(table: pd.DataFrame) -> str:
    first = table.iloc[0]
    if len(table) == 1:
        return f"{first['clip']} cannot be used: {first['note']}"
    return f"not one of the {len(table)} clips can be used; the first is {first['clip']}: {first['note']}"
