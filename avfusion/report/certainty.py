"""How sure an accuracy, and a difference of two, is: the intervals of `compare`, in a report's words."""

import numpy as np

from avfusion.analysis.intervals import Estimate, class_weights
from avfusion.analysis.over_seeds import difference_over_seeds, mean_over_seeds
from avfusion.analysis.variant_answers import VariantAnswers
from avfusion.report.document import signed
from avfusion.report.material import Material


def accuracy(model: VariantAnswers, material: Material) -> Estimate:
    """The model's accuracy on the test clips, seeds averaged."""
    weights = class_weights(material.locations, equal=False)
    return mean_over_seeds(model.values("accuracy"), material.locations, weights).within(0.0, 1.0)


def gain(first: VariantAnswers, second: VariantAnswers, material: Material) -> Estimate:
    """Accuracy of `first` minus that of `second`, clip by clip."""
    weights = class_weights(material.locations, equal=False)
    right = first.values("accuracy"), second.values("accuracy")
    return difference_over_seeds(*right, material.locations, weights).within(-1.0, 1.0)


def seeds_in_words(material: Material) -> str:
    """What the intervals say of the choice of seeds."""
    several = [model.title for model in material.variants if len(model.seeds) > 1]
    if not several:
        return "Every model was trained with one seed: what other seeds would change is not in it."
    if len(several) == len(material.variants):
        return "The spread over the seeds is part of it."
    return f"The spread over seeds is part of it for {', '.join(several)}; the others were trained with one seed."


def in_words(estimate: Estimate) -> str:
    """A difference and its 95 % interval."""
    low, high = estimate.jackknife.low, estimate.jackknife.high
    interval = f"{signed(low)} to {signed(high)}" if np.isfinite(estimate.error) else "interval not known"
    return f"{signed(estimate.value)} ({interval})"
