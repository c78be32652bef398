"""The model that MLflow keeps: a clip or its features in, scene out.

MLflow runs this file when it loads a logged model (models from code); `avfusion.tracking.models` logs it.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from avfusion.errors import UserError
from avfusion.features import MODALITIES
from avfusion.features.parts import Part
from avfusion.media import DEFAULT_LIMITS
from avfusion.serving.answers import NOUNS, Answer, Features, answer
from avfusion.serving.embedding import carried_weights
from avfusion.serving.extractor import BusyError, SharedExtractors
from avfusion.serving.gate import Gate, client_is_gone
from avfusion.serving.queries import Query
from avfusion.serving.upload import ServerLimits, Upload, read_clip
from avfusion.system.work_folder import remove_left_overs
from avfusion.training.ensemble import open_classifier

CLIP = "clip"
NOTHING = "nothing given; send `clip` (base64 of a media file), or `audio` and `video` arrays [T, D]"
MOST_FRAMES = round(DEFAULT_LIMITS.seconds * 10)
"""Frames of ready features that a request may hold: two hours, ten a second."""
MLFLOWS_SERVER = "mlflow.pyfunc.scoring_server.app"
"""The module that `mlflow models serve` gives to uvicorn; it loads the model while it is imported."""

Given = Path | Upload | Features


class SceneModel(PythonModel):
    """Column `clip`, or `audio` and `video`, each an array [T, D] per row -> scene, probability, ...

    The other columns of an answer are `modalities` (what it rests on), `note` (what was missing or damaged) and
    `probability/CLASS` for each class; then come the model's diagnostics, null where a companion answered.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the classifier from the model's folder; nothing is unpickled. In a server, guard it."""
        folder = Path(context.artifacts["classifier"])
        self.classifier = open_classifier(folder)
        self.limits = ServerLimits.from_environment()
        self.extractors = SharedExtractors(
            self.limits.workers,
            queue=self.limits.queue,
            patience=self.limits.timeout,
            embedder=self.classifier.description.features["embedder"],
            weights=carried_weights(folder),
            device="auto",
            timeout=self.limits.timeout,
            limits=self.limits.media,
        )
        remove_left_overs()
        self._guard()

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row per clip; a request with a row that cannot be answered gets a client error (4xx) of one line.

        While too many wait for an answer to a clip, such requests get 503.
        """
        if not model_input.size:  # no row, or no column that the signature knows
            raise _refused(NOTHING)
        n_rows = len(model_input)
        if n_rows > self.limits.rows:
            raise _refused(f"{n_rows} rows; this server answers {self.limits.rows} at a time")
        given: list[Given] = []
        for number, row in enumerate(model_input.to_dict("records")):
            with _refusing(number, n_rows):
                given.append(self._read({str(name): value for name, value in row.items()}))
        parts = self._parts({number: clip for number, clip in enumerate(given) if isinstance(clip, Path | Upload)})
        answers = []
        for number, features in enumerate(given):
            with _refusing(number, n_rows):
                answers.append(self._answer(parts.get(number, features)))
        table = pd.DataFrame(answers)
        unknown = table.isna()  # JSON has null, and no NaN
        return table.astype(object).mask(unknown, None) if unknown.to_numpy().any() else table

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the model listens to."""
        return self.classifier.modalities

    def _guard(self) -> None:
        """Puts the gate before the server that is loading this model; nothing happens outside a server.

        MLflow reads a request of any size into memory before it asks the model, and offers no place to stand before
        that. But its application is a name in a module that loads the model while it is imported: from now on that name
        stands for the gate with the application behind it.
        """
        server = sys.modules.get(MLFLOWS_SERVER)
        if server is None or "app" in vars(server):
            return

        @cache
        def guarded() -> Gate:
            return Gate(
                vars(server)["app"],
                megabytes=self.limits.request_megabytes,
                seconds=self.limits.timeout,
                clips=self.limits.workers + self.limits.queue,
                close=self.extractors.close,
            )

        server.__class__ = type("Guarded", (ModuleType,), {"app": property(lambda _: guarded())})

    def _read(self, row: dict[str, Any]) -> Given:
        """What a row holds, checked as far as that goes before a clip is decoded."""
        given = {name for name in (CLIP, *MODALITIES) if _is_given(row.get(name))}
        if CLIP in given and len(given) > 1:
            raise UserError("give either `clip` or the arrays `audio` and `video`, not both")
        if CLIP in given:
            return self._clip(row[CLIP])
        if given:
            return {name: self._of_array(row.get(name), name) for name in MODALITIES}
        raise UserError(NOTHING)

    def _clip(self, clip: Any) -> Path | Upload:
        if isinstance(clip, list | np.ndarray) and len(clip) == 1:
            clip = clip[0]  # the form of {"inputs": {"clip": [...]}}
        if not isinstance(clip, str):
            raise UserError(f"`clip` is {type(clip).__name__}; expected text: the base64 of a media file")
        return read_clip(clip, self.limits)

    def _parts(self, clips: Mapping[int, Path | Upload]) -> dict[int, Part]:
        """The features of the clips of a request, by their rows; all have one turn and one deadline."""
        if not clips:
            return {}
        try:
            with (
                self.extractors.one(client_is_gone) as extractor,
                tempfile.TemporaryDirectory(dir=extractor.folder) as folder,
            ):
                queries = []
                for number, clip in clips.items():
                    path = clip.write(Path(folder, str(number))) if isinstance(clip, Upload) else clip
                    queries.append(Query(CLIP, path, path))
                parts = dict(extractor.parts(queries, self.modalities, self.limits.timeout, client_is_gone))
        except BusyError as error:
            raise MlflowException(str(error), error_code=TEMPORARILY_UNAVAILABLE) from None
        except UserError as error:
            raise _refused(str(error)) from None
        return {row: parts[position] for position, row in enumerate(clips)}

    def _answer(self, given: Part | Given) -> dict[str, str | float | None]:
        """The answer to a clip that was decoded, or to ready features."""
        if isinstance(given, Part):
            if given.reason:
                raise UserError(f"`clip` cannot be used: {given.reason}")
            note = given.note
            features: Features = {"audio": given.audio, "video": given.video}
        else:
            assert isinstance(given, Mapping)  # every clip has its part by now
            features = given
            note = "; ".join(f"no {NOUNS[name]} given" for name in self.modalities if not len(features[name]))
        try:
            return _row(answer(self.classifier, features), note)
        except UserError as error:
            raise UserError("; ".join(filter(None, (note, str(error))))) from None

    def _of_array(self, value: Any, modality: str) -> NDArray[np.float32]:
        """One modality's ready features [T, D]; T = 0 where they are not given."""
        shape = self.classifier.description.shape
        dim = shape.audio_dim if modality == "audio" else shape.video_dim
        if not _is_given(value):
            return np.zeros((0, dim), np.float32)
        try:
            array = np.asarray([list(frame) for frame in value], dtype=np.float32)
        except (TypeError, ValueError):
            raise UserError(f"`{modality}` is not an array of numbers [T, {dim}]") from None
        if array.ndim != 2 or not 1 <= len(array) <= MOST_FRAMES or array.shape[1] != dim:
            raise UserError(
                f"`{modality}` has shape {list(array.shape)}; expected [T, {dim}], T from 1 to {MOST_FRAMES}"
            )
        if not np.isfinite(array).all():
            raise UserError(f"`{modality}` holds values that are not finite")
        return array


@contextmanager
def _refusing(row: int, n_rows: int) -> Iterator[None]:
    """Turns a `UserError` into a refusal that names the row, if there are several."""
    try:
        yield
    except UserError as error:
        raise _refused(f"row {row}: {error}" if n_rows > 1 else str(error)) from None


def _refused(message: str) -> MlflowException:
    """A client error; MLflow adds tracebacks to all other exceptions."""
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)


def _is_given(value: Any) -> bool:
    """Whether an optional column has a value in this row."""
    return value is not None and not (isinstance(value, float) and np.isnan(value))


def _row(found: Answer, note: str) -> dict[str, str | float | None]:
    return {
        "scene": found.scene,
        "probability": found.probability,
        "modalities": "+".join(found.modalities),
        "note": note,
        **found.class_columns,
        **found.diagnostics,
    }


mlflow.models.set_model(SceneModel())
