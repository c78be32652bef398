"""How sure an accuracy, and a difference of two, is: the intervals and verdicts of `compare`, in a report's words."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from avfusion.analysis.pairs import Verdict, verdict
from avfusion.report.document import signed
from avfusion.report.material import Material


@dataclass(frozen=True)
class Gain:
    """The accuracy of one model minus that of another, clip by clip."""

    value: float
    low: float
    """The ends of the 95 % interval, which is not corrected for the number of pairs; infinite if it is not known."""
    high: float
    p_value: float
    p_holm: float
    """With Holm's correction over all pairs and scores of the report."""

    @property
    def corrected(self) -> Verdict:
        """What `compare` says of the first model."""
        return verdict(self.value, self.p_holm, higher_is_better=True)

    @property
    def alone(self) -> Verdict:
        """What it would say if this were the only pair, and accuracy the only score."""
        return verdict(self.value, self.p_value, higher_is_better=True)


def accuracies(material: Material) -> pd.DataFrame:
    """Of each model, by its name: value, low and high of its accuracy on the test clips, seeds averaged."""
    scores = material.scores[material.scores["score"] == "accuracy"]
    return scores.set_index("variant")[["value", "low", "high"]]


def gain(first: str, second: str, material: Material) -> Gain:
    """Accuracy of the model `first` minus that of the model `second`."""
    rows = material.pairs[material.pairs["score"] == "accuracy"].to_dict("records")
    row = next(row for row in rows if {row["first"], row["second"]} == {first, second})
    sign = 1 if row["first"] == first else -1
    low, high = sorted((sign * row["low"], sign * row["high"]))
    return Gain(sign * row["difference"], low, high, row["p_value"], row["p_holm"])


def in_words(gain: Gain) -> str:
    """A difference with its 95 % interval and its p-values."""
    if not np.isfinite(gain.high - gain.low):
        return f"{signed(gain.value)} (interval not known)"
    interval = f"{signed(gain.low)} to {signed(gain.high)}"
    return f"{signed(gain.value)} ({interval}; p {p_in_words(gain.p_value)}, corrected {p_in_words(gain.p_holm)})"


def p_in_words(value: float) -> str:
    """A p-value with three decimals."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
