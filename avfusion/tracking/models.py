"""A classifier as an MLflow model: models from code, weights as safetensors, nothing pickled."""

import tempfile
from importlib.metadata import version
from pathlib import Path

import mlflow
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array

from avfusion.classifier import SceneClassifier

PACKAGE = Path(__file__).parents[1]
REQUIREMENTS = ("mlflow", "numpy", "pandas", "safetensors", "torch")
"""What a served model imports; given to MLflow because finding it out takes MLflow seconds for each model."""


def log_model(classifier: SceneClassifier) -> str:
    """Log `classifier` under the active run as the pyfunc model `model`; returns its URI."""
    with tempfile.TemporaryDirectory() as folder:
        classifier.save(Path(folder) / "classifier")
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(PACKAGE / "serving.py"),
            artifacts={"classifier": str(Path(folder) / "classifier")},
            code_paths=[str(PACKAGE)],
            pip_requirements=[f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS],
            signature=_signature(classifier.description.classes),
        )
    return str(info.model_uri)


def _signature(classes: tuple[str, ...]) -> ModelSignature:
    """Optional columns: MLflow cannot mix tensors with columns, and a clip may come with one modality only."""
    frames = Array(Array(DataType.double))
    inputs = Schema([ColSpec(frames, name, required=False) for name in ("audio", "video")])
    outputs = [ColSpec(DataType.string, "scene"), ColSpec(DataType.double, "probability")]
    return ModelSignature(inputs, Schema([*outputs, *(ColSpec(DataType.double, name) for name in classes)]))
