"""The table of a job's variants: in its run, and on the page of its experiment."""

import mlflow
import pandas as pd
from mlflow import MlflowClient

from avfusion.features import FeatureStore
from avfusion.features.provenance import title
from avfusion.system.markdown import markdown, markdown_table
from avfusion.tracking.artifacts import log_features, log_table
from avfusion.tracking.descriptions import describe_store
from avfusion.tracking.notes import NOTE, write_note


def log_summary(table: pd.DataFrame, store: FeatureStore, remark: str) -> None:
    """`table` (one row per variant) into the active job run, and with `remark` into its experiment's description."""
    run = mlflow.active_run()
    assert run is not None, "log_summary needs an active run"
    log_features(store)
    log_table(table, "summary")
    client = MlflowClient()
    name = client.get_run(run.info.run_id).info.run_name  # the active run still has the name it was made with
    rows = ([_cell(value) for value in row] for row in table.itertuples(index=False))
    about = f"**Latest comparison** on {markdown(title(store.provenance))} (run `{name}`)"
    note = f"{about}\n\n{markdown_table(list(table.columns), rows)}\n\n{remark}\n"
    client.set_experiment_tag(run.info.experiment_id, NOTE, note)
    write_note(f"{note}\n{describe_store(store)}", store)


def _cell(value: object) -> str:
    """Numbers with three decimals."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
