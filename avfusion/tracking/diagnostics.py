"""What a variant says of the test clips beside its answers, in the active run."""

import mlflow
import pandas as pd

from avfusion.features import FeatureStore
from avfusion.features.provenance import note
from avfusion.figures import diagnostics_by_class
from avfusion.scoring.diagnostics import by_class
from avfusion.tracking.artifacts import log_figure, log_table
from avfusion.tracking.failures import storing
from avfusion.training.cross_validation import Scored


@storing()
def log_diagnostics(result: Scored, store: FeatureStore) -> None:
    """The diagnostics of `result` by clip, by class, and as a figure."""
    variant, table = result.variant, by_class(result.diagnostics, result.test)
    log_table(table.round(4), "diagnostics")
    title = f"{variant.title}, test clips"
    log_figure(diagnostics_by_class(table, variant.diagnosed, title, note=note(store.provenance)), "diagnostics")
    clips = pd.DataFrame({"clip": result.test.ids, **result.diagnostics})
    mlflow.log_text(clips.to_csv(index=False), "diagnostics.csv")
