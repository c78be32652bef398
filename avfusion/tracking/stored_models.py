"""Getting a classifier back out of a model that MLflow keeps."""

import re
import tempfile
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from avfusion.errors import UserError
from avfusion.system.secrets import masked
from avfusion.tracking.models import CLASSIFIER
from avfusion.training.classifier import DESCRIPTION, SceneClassifier

RUN_ID = re.compile("[0-9a-f]{32}")


def load_classifier(run_id: str) -> SceneClassifier | None:
    """The classifier that the run logged; None if it logged none, as the runs of several seeds do."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            model = mlflow.artifacts.download_artifacts(artifact_uri=f"runs:/{run_id}/model", dst_path=folder)
        except (MlflowException, OSError):
            return None
        found = _classifier_folder(Path(model))
        return None if found is None else SceneClassifier.load(found)


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
    """Where `log_model` put the classifier, in a model's folder or in a folder that `SceneClassifier.save` wrote."""
    places = (model / "artifacts" / CLASSIFIER, model)
    return next((place for place in places if (place / DESCRIPTION).is_file()), None)
