"""A classifier as an MLflow model (models from code, weights as safetensors, nothing pickled), and its registry."""

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array

from avfusion.embedders import embedder_needs
from avfusion.errors import UserError
from avfusion.features.provenance import note, title
from avfusion.fusion import variants
from avfusion.serving.answers import class_column
from avfusion.serving.embedding import in_words, save_embedder
from avfusion.system.markdown import markdown
from avfusion.system.secrets import masked
from avfusion.tracking.descriptions import SCORES, scores_table
from avfusion.tracking.failures import storing
from avfusion.tracking.lookup import find_run, read_config, read_predictions, seed_runs
from avfusion.training.classifier import DESCRIPTION, Classifier
from avfusion.training.ensemble import open_classifier
from avfusion.training.split_features import TEST, VALIDATION

PACKAGE = Path(__file__).parents[1]
AFTER_SERVING = ("tracking", "analysis", "report", "jobs")
"""Rooms that a served model imports nothing of. To a server each file of a model travels by a request of its own."""
CLASSIFIER = "classifier"
"""Artifact of the model: the folder that `Classifier.save` writes, with the embedder's weights."""
REGISTERED, CHAMPION = "avfusion", "champion"
"""Name in the registry, and the alias of the best: models:/avfusion@champion."""
COMPANIONS = "companions"
"""Tag of a run: which companions its model carries, or `none`."""
ANSWERS_ALONE = "answers_alone"
"""Tag of a run: from which modalities alone its model answers by itself, or `none`."""
RUN_ID = re.compile("[0-9a-f]{32}")
REQUIREMENTS = (
    "av", "filelock", "h5py", "matplotlib", "mlflow", "numpy", "pandas", "safetensors", "scipy", "torch", "tqdm",
)  # fmt: skip
"""What a served model imports; given to MLflow because finding it out takes MLflow seconds for each model."""


@storing()
def log_model(classifier: Classifier, example: pd.DataFrame | None = None) -> str:
    """Log `classifier` under the active run as the pyfunc model `model`, with an `example` of a request; its URI.

    It carries the classifier's companions, this package with the weights of its embedder alone, and these weights where
    the package has them not.
    """
    features = classifier.description.features
    with tempfile.TemporaryDirectory() as temporary:
        folder, code = Path(temporary) / CLASSIFIER, Path(temporary) / PACKAGE.name
        classifier.save(folder)
        save_embedder(features, folder)
        shutil.copytree(PACKAGE, code, ignore=_left_out(features["embedder"]["name"]))
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(PACKAGE / "serving" / "model.py"),
            artifacts={CLASSIFIER: str(folder)},
            code_paths=[str(code)],
            pip_requirements=[f"{name}=={version(name).split('+')[0]}" for name in _requirements(features)],
            signature=_signature(classifier),
            input_example=example,
        )
    mlflow.set_tag(COMPANIONS, ",".join(classifier.companions) or "none")
    mlflow.set_tag(ANSWERS_ALONE, ",".join(classifier.description.answers_alone) or "none")
    return str(info.model_uri)


def _requirements(features: Mapping[str, Any]) -> list[str]:
    """What a served model imports, with what its embedder does, if it has one here and that is installed."""
    try:
        needs = embedder_needs(features["embedder"]["name"])
    except UserError:  # its features are of other people's making
        needs = []
    return [*REQUIREMENTS, *(name for name in needs if find_spec(name))]


def _left_out(embedder: str) -> Callable[[str, list[str]], list[str]]:
    """What of a folder of the package a model leaves out: weights of embedders not its own, and `AFTER_SERVING`."""
    kept = {f"{name}.safetensors" for name in embedder.split("+")}

    def left_out(folder: str, names: list[str]) -> list[str]:
        rooms = ("__pycache__", *(AFTER_SERVING if Path(folder) == PACKAGE else ()))
        return [name for name in names if name in rooms or (name.endswith(".safetensors") and name not in kept)]

    return left_out


def _signature(classifier: Classifier) -> ModelSignature:
    """Optional columns: MLflow cannot mix tensors with columns, and a clip may come with one modality only."""
    frames = Array(Array(DataType.double))
    arrays = [ColSpec(frames, name, required=False) for name in ("audio", "video")]
    inputs = Schema([ColSpec(DataType.string, "clip", required=False), *arrays])
    texts = {"scene": DataType.string, "probability": DataType.double, "modalities": DataType.string}
    outputs = [ColSpec(kind, name) for name, kind in {**texts, "note": DataType.string}.items()]
    scores = [ColSpec(DataType.double, class_column(name)) for name in classifier.description.classes]
    diagnostics = [ColSpec(DataType.double, name, required=False) for name in classifier.diagnosed]
    return ModelSignature(inputs, Schema([*outputs, *scores, *diagnostics]))


def register(run_id: str) -> str:
    """Put the model of a run into the registry, unless it is there; returns its version.

    Its description holds scores, the digest of the data, and limits. Raises `UserError` if the run has no model.
    """
    client, run = MlflowClient(), find_run(run_id)
    known = client.search_model_versions(f"name = '{REGISTERED}' and run_id = '{run_id}'")
    if known:
        return str(known[0].version)
    model, text = check_model(run_id), _description(client.get_run(run_id))
    source, tags = f"models:/{model}", {"features": str(run.features), "variant": run.variant}
    version_ = mlflow.register_model(source, REGISTERED, tags=tags)
    client.update_model_version(REGISTERED, version_.version, description=text)
    return str(version_.version)


def check_model(run_id: str) -> str:
    """The id of the model that the run logged last; `UserError` if it logged none."""
    found = MlflowClient().get_run(run_id)
    models = found.outputs.model_outputs if found.outputs else []
    if not models:
        title_ = find_run(run_id).title
        raise UserError(f"{title_} logged no model to register; give the run of a variant that train logged")
    return str(models[-1].model_id)


def promote(run_id: str) -> str:
    """Give the model of a run the alias `champion`, registering it if need be; returns its version.

    Raises `UserError` if the run has no model.
    """
    version_ = register(run_id)
    MlflowClient().set_registered_model_alias(REGISTERED, CHAMPION, version_)
    return version_


def _description(run: Run) -> str:
    """What a registered model is, came to, and must not be trusted with; as Markdown."""
    first = seed_runs(find_run(run.info.run_id))[0]
    config, classes = read_config(first), read_predictions(first, "test").classes
    features, metrics = config["features"], run.data.metrics
    provenance, variant = features["provenance"], variants().get(config["variant"])
    title_ = variant.title if variant else f"Ensemble of {markdown(', '.join(config['members']))}"
    needs = variant.modalities if variant else config["modalities"]
    scores = {
        name: [f"{metrics[f'{split}/{score}']:.3f}" for score in SCORES]
        for name, split in (("test", TEST), ("validation", VALIDATION))
    }
    companions = run.data.tags.get(COMPANIONS, "none")
    incomplete = f"for a clip that lacks a modality, the companions answer: {companions.replace(',', ', ')}"
    if companions == "none":
        incomplete = f"no companion: a clip needs {' and '.join(needs)}"
    if (alone := run.data.tags.get(ANSWERS_ALONE, "none")) != "none":
        incomplete += f"; from {alone.replace(',', ' or ')} alone it answers by itself"
    limits = [
        *([f"made with {warning}" for warning in [note(provenance)] if warning]),
        f"always answers one of its {len(classes)} classes: {markdown(', '.join(classes))}",
        incomplete,
        f"features must be those of {markdown(in_words(provenance['embedder']))}",
    ]
    return "\n".join(
        [
            f"**{title_}** on {markdown(title(provenance))}; run `{run.info.run_name}` ({run.info.run_id})",
            *("", scores_table(scores), ""),
            f"Data: feature store {features['digest']}, clip list {provenance['dataset'].get('digest', 'unknown')}.",
            *("", "Limits:", "", *(f"- {limit}" for limit in limits)),
        ]
    )


def load_classifier(run_id: str) -> Classifier | None:
    """The classifier that the run logged; None if it logged none, as the runs of several seeds do."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            model = mlflow.artifacts.download_artifacts(artifact_uri=f"runs:/{run_id}/model", dst_path=folder)
        except (MlflowException, OSError):
            return None
        found = _classifier_folder(Path(model))
        return None if found is None else open_classifier(found)


def fetch_model(uri: str, folder: Path) -> Path:
    """The folder of the classifier in the model `uri`, copied under `folder` if it is not on this machine.

    `uri` is runs:/ID/model, a run's bare id, models:/NAME/VERSION, models:/NAME@ALIAS or a folder. Raises `UserError`
    if there is no such model, or it is none of ours.
    """
    if RUN_ID.fullmatch(uri):
        uri = f"runs:/{uri}/model"
    try:
        model = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"model={uri}: not found in {masked(mlflow.get_tracking_uri())} ({reason}); give runs:/ID/model (of "
            "several seeds, the run above them has it), models:/avfusion/1 or models:/avfusion@champion"
        ) from error
    found = _classifier_folder(model)
    if found is None:
        raise UserError(f"model={uri}: there is no classifier of avfusion in it; give a model that train logged")
    return found


def _classifier_folder(model: Path) -> Path | None:
    """Where `log_model` put the classifier, in a model's folder or in a folder that `Classifier.save` wrote."""
    places = (model / "artifacts" / CLASSIFIER, model)
    return next((place for place in places if (place / DESCRIPTION).is_file()), None)
