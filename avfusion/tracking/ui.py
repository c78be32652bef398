"""Where MLflow's UI shows things: addresses of its pages, and the lines that tell people how to open them."""

from urllib.parse import quote

import mlflow

from avfusion.system.secrets import masked
from avfusion.tracking.session import in_shell

PORT = 5000
"""Of the UI that people start themselves, by the command that `ui_lines` shows."""

SERVERS = ("http://", "https://")
"""How the address of a tracking server begins."""

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
    command = ui_command()
    return [*([f"look     {command}"] if command else []), *(f"open     {ui_address(page)}" for page in pages)]


def ui_command() -> str | None:
    """What to type to start the UI; None where a server runs, which shows it."""
    uri = mlflow.get_tracking_uri()
    if uri.startswith(SERVERS):
        return None
    return f"mlflow ui --backend-store-uri {in_shell(uri)} --port {PORT}"


def ui_address(page: str) -> str:
    """The address of a `page` at the server, or where `ui_command` shows it."""
    uri = mlflow.get_tracking_uri()
    return f"{masked(uri).rstrip('/') if uri.startswith(SERVERS) else f'http://127.0.0.1:{PORT}'}/{page}"
