"""Choosing runs by MLflow's own filter language."""

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from avfusion.errors import UserError


def matching_ids(experiment_id: str, filter_: str) -> set[str]:
    """Ids of the runs of an experiment that match; `UserError` for a filter that MLflow does not understand."""
    client, found, token = MlflowClient(), set(), None
    while True:
        try:
            page = client.search_runs([experiment_id], filter_, max_results=1000, page_token=token)
        except MlflowException as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"filter={filter_}: MLflow does not understand it ({reason}); write for instance params.alpha = '0.5'"
            ) from error
        found |= {str(run.info.run_id) for run in page}
        token = page.token
        if not token:
            return found
