"""Figures: data in, `matplotlib.figure.Figure` out. One file each; none of them saves or keeps state."""

from avfusion.figures.alpha_curve import alpha_curve
from avfusion.figures.conflict_cells import conflict_cells
from avfusion.figures.confusion_difference import confusion_difference
from avfusion.figures.confusion_heatmap import confusion_heatmap
from avfusion.figures.l3_net import l3_net
from avfusion.figures.loss_curves import loss_curves
from avfusion.figures.variant_summary import variant_summary

__all__ = [
    "alpha_curve",
    "conflict_cells",
    "confusion_difference",
    "confusion_heatmap",
    "l3_net",
    "loss_curves",
    "variant_summary",
]
