"""Figures: data in, `matplotlib.figure.Figure` out.

Nothing here computes a result, saves a file or keeps state.
"""

from avfusion.figures.alpha_curve import alpha_curve
from avfusion.figures.clip_timeline import clip_timeline
from avfusion.figures.conflict_cells import conflict_cells
from avfusion.figures.confusion import confusion_difference, confusion_heatmap
from avfusion.figures.diagnostics import diagnostics_by_class
from avfusion.figures.ensemble_weights import ensemble_weights
from avfusion.figures.forest_plot import forest_plot
from avfusion.figures.l3_net import l3_net
from avfusion.figures.loss_curves import loss_curves
from avfusion.figures.reliability import reliability_diagram
from avfusion.figures.robustness_curve import robustness_curve
from avfusion.figures.slices import hyperparameter_slices
from avfusion.figures.trials import alpha_trials, hyperparameter_contour, optimisation_history, parallel_coordinates
from avfusion.figures.variant_diagram import variant_diagram
from avfusion.figures.variant_summary import variant_summary

__all__ = [
    "alpha_curve",
    "alpha_trials",
    "clip_timeline",
    "conflict_cells",
    "confusion_difference",
    "confusion_heatmap",
    "diagnostics_by_class",
    "ensemble_weights",
    "forest_plot",
    "hyperparameter_contour",
    "hyperparameter_slices",
    "l3_net",
    "loss_curves",
    "optimisation_history",
    "parallel_coordinates",
    "reliability_diagram",
    "robustness_curve",
    "variant_diagram",
    "variant_summary",
]
