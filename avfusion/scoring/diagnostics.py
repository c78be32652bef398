"""What variants say of clips beside their answers, class by class."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avfusion.scoring.predictions import Predictions

COLUMNS = ("diagnostic", "class", "mean", "low", "high")


def by_class(diagnostics: Mapping[str, NDArray[np.float64]], predictions: Predictions) -> pd.DataFrame:
    """One row for each diagnostic and true class that has clips, in order: mean, and both quartiles as low and high.

    `diagnostics` are by name the numbers [N] of the clips of `predictions`.

    >>> answers = Predictions.from_scores(["a", "b", "c"], ["bus", "park"], np.array([0, 0, 1]), np.zeros((3, 2)))
    >>> by_class({"gate": np.array([0.25, 0.75, 0.5])}, answers)
      diagnostic class  mean    low   high
    0       gate   bus   0.5  0.375  0.625
    1       gate  park   0.5  0.500  0.500
    """
    rows = []
    for name, values in diagnostics.items():
        for number, scene in enumerate(predictions.classes):
            own = values[predictions.labels == number]
            if len(own):
                low, high = np.quantile(own, [0.25, 0.75])
                rows.append((name, scene, float(own.mean()), float(low), float(high)))
    return pd.DataFrame(rows, columns=list(COLUMNS))
