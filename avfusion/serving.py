"""The model that MLflow keeps: a clip or its features in, scene out.

MLflow runs this file when it loads a logged model (models from code); `avfusion.tracking.models` logs it.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from avfusion.classifier import SceneClassifier
from avfusion.errors import UserError
from avfusion.media import DEFAULT_LIMITS
from avfusion.prediction.answers import MODALITIES, NOUNS, Answer, answer
from avfusion.prediction.clips import Query
from avfusion.prediction.embedding import carried_weights
from avfusion.prediction.extractor import SharedExtractors, missing_in_words
from avfusion.prediction.upload import ServerLimits, clip_file

CLIP = "clip"
NOTHING = "nothing given; send `clip` (base64 of a media file), or `audio` and `video` arrays [T, D]"
MOST_FRAMES = round(DEFAULT_LIMITS.seconds * 10)
"""Frames of ready features that a request may hold: two hours, ten a second."""


class SceneModel(PythonModel):
    """Column `clip`, or `audio` and `video`, each an array [T, D] per row -> scene, probability, ...

    The other columns of an answer are `modalities` (what it rests on), `note` (what was missing or damaged) and
    `probability/CLASS` for each class.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the classifier from the model's folder; nothing is unpickled."""
        self.folder = Path(context.artifacts["classifier"])
        self.classifier = SceneClassifier.load(self.folder)
        self.limits = ServerLimits.from_environment()

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row per clip; a request with a row that cannot be answered gets a client error (4xx) of one line."""
        answers = []
        if not model_input.size:  # no row, or no column that the signature knows
            raise _refused(NOTHING)
        for number, row in enumerate(model_input.to_dict("records")):
            try:
                answers.append(self._answer({str(name): value for name, value in row.items()}))
            except UserError as error:
                where = f"row {number}: " if len(model_input) > 1 else ""
                raise _refused(f"{where}{error}") from None
        return pd.DataFrame(answers)

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the model listens to."""
        return self.classifier.network.modalities

    @cached_property
    def extractors(self) -> SharedExtractors:
        """What embeds clips; its processes start with the first clip."""
        return SharedExtractors(
            self.limits.workers,
            embedder=self.classifier.description.features["embedder"],
            weights=carried_weights(self.folder),
            device="auto",
            timeout=self.limits.timeout,
        )

    def _answer(self, row: dict[str, Any]) -> dict[str, str | float]:
        given = {name for name in (CLIP, *MODALITIES) if _is_given(row.get(name))}
        if CLIP in given and len(given) > 1:
            raise UserError("give either `clip` or the arrays `audio` and `video`, not both")
        if CLIP in given:
            features, note = self._of_clip(row[CLIP])
        elif given:
            features = {name: self._of_array(row.get(name), name) for name in MODALITIES}
            note = "; ".join(f"no {NOUNS[name]} given" for name in self.modalities if name not in given)
        else:
            raise UserError(NOTHING)
        try:
            return _row(answer(self.classifier, features), note)
        except UserError as error:
            raise UserError(f"{note}; {error}") from None

    def _of_clip(self, clip: Any) -> tuple[dict[str, NDArray[np.float32]], str]:
        """Features of an uploaded or named clip, and what is to be said of it."""
        if isinstance(clip, list | np.ndarray) and len(clip) == 1:
            clip = clip[0]  # the form of {"inputs": {"clip": [...]}}
        if not isinstance(clip, str):
            raise UserError(f"`clip` is {type(clip).__name__}; expected text: the base64 of a media file")
        with clip_file(clip, self.limits) as path:
            part = self.extractors.part(Query(CLIP, path, path), self.modalities)
        if part.reason:
            raise UserError(f"`clip` cannot be used: {missing_in_words(part)}")
        return {"audio": part.audio, "video": part.video}, missing_in_words(part)

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


def _refused(message: str) -> MlflowException:
    """A client error; MLflow adds tracebacks to all other exceptions."""
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)


def _is_given(value: Any) -> bool:
    """Whether an optional column has a value in this row."""
    return value is not None and not (isinstance(value, float) and np.isnan(value))


def _row(found: Answer, note: str) -> dict[str, str | float]:
    return {
        "scene": found.scene,
        "probability": found.probability,
        "modalities": "+".join(found.modalities),
        "note": note,
        **found.class_columns,
    }


mlflow.models.set_model(SceneModel())
