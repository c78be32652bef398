"""Where MLflow's UI shows things: addresses of its pages, and the lines that tell people how to open them."""

import shlex
from urllib.parse import quote

import mlflow

from avfusion.system.secrets import masked

PORT = 5000
"""Of the UI that people start themselves, by the command that `ui_lines` shows."""

CLASSIC = "workflowType=machine_learning"
"""Without it MLflow opens pages for language models, which leave out metrics and charts."""


def runs_page(experiment_id: str, view: str | None = None) -> str:
    """The table of an experiment's runs, as the saved view of this key shows it; None is MLflow's own table."""
    return f"#/experiments/{experiment_id}/runs?{CLASSIC}" + (f"&viewStateShareKey={view}" if view else "")


def run_page(experiment_id: str, run_id: str, artifact: str | None = None) -> str:
    """The page of a run, or of one of its artifacts (its path, as `figures/confusion.png`)."""
    place = f"/artifacts/{quote(artifact)}" if artifact else ""
    return f"#/experiments/{experiment_id}/runs/{run_id}{place}?{CLASSIC}"


def ui_lines(*pages: str) -> list[str]:
    """What to type, unless a server runs, and which addresses to open to see these `pages` of the UI."""
    uri = mlflow.get_tracking_uri()
    shown = masked(uri)
    if uri.startswith(("http://", "https://")):
        return [f"open     {shown.rstrip('/')}/{page}" for page in pages]
    store = shlex.quote(uri) if shown == uri else '"$MLFLOW_TRACKING_URI"'  # which the shell fills in
    return [
        f"look     mlflow ui --backend-store-uri {store} --port {PORT}",
        *(f"open     http://127.0.0.1:{PORT}/{page}" for page in pages),
    ]
