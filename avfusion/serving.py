"""The model that MLflow keeps: features in, scene out.

MLflow runs this file when it loads a logged model (models from code); `avfusion.tracking.models` logs it.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, PythonModelContext

from avfusion.classifier import SceneClassifier
from avfusion.task import MODALITIES


class SceneModel(PythonModel):  # type: ignore[misc]
    """Columns `audio` and `video`, each an array [T, D] per row -> scene, probability, and one column per class."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the classifier from the model's folder; nothing is unpickled."""
        self.classifier = SceneClassifier.load(Path(context.artifacts["classifier"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row per clip; a request that lacks an array that the variant needs gets a client error (4xx)."""
        rows = [self._answer(row) for _, row in model_input.iterrows()]
        return pd.DataFrame(rows)

    def _answer(self, row: "pd.Series[Any]") -> dict[str, str | float]:
        features = {modality: self._features(row, modality) for modality in MODALITIES}
        with torch.no_grad():
            log_probabilities, decisions = self.classifier.answers(features["audio"], features["video"])
        probabilities = torch.softmax(log_probabilities[0].double(), 0)
        classes = self.classifier.description.classes
        best = int(decisions[0])
        return {
            "scene": classes[best],
            "probability": float(probabilities[best]),
            **dict(zip(classes, probabilities.tolist(), strict=True)),
        }

    def _features(self, row: "pd.Series[Any]", modality: str) -> torch.Tensor:
        """One modality's features [1, T, D]; zeros where the variant does not listen to it."""
        shape = self.classifier.description.shape
        dim = shape.audio_dim if modality == "audio" else shape.video_dim
        if modality not in self.classifier.network.modalities:
            return torch.zeros(1, shape.n_frames, dim)
        value = row.get(modality)
        if value is None:
            raise _refused(f"no `{modality}` given; {self.classifier.description.variant} needs an array [T, {dim}]")
        try:
            array = np.asarray([list(frame) for frame in value], dtype=np.float32)
        except (TypeError, ValueError):
            raise _refused(f"`{modality}` is not an array of numbers [T, {dim}]") from None
        if array.ndim != 2 or len(array) == 0 or array.shape[1] != dim or not np.isfinite(array).all():
            raise _refused(f"`{modality}` has shape {list(array.shape)}; expected finite numbers [T, {dim}], T >= 1")
        return torch.from_numpy(array)[None]


def _refused(message: str) -> MlflowException:
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)


mlflow.models.set_model(SceneModel())
