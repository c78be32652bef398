"""Synthetic demo scenes: short audio-visual clips rendered by rule, in the layout of the TAU data set.

Nothing here was recorded. `recipes` says what the ten classes are made of, `moment` draws a location and
a moment there, `sound` and `picture` render the two modalities from the same moment, `layout` writes
a whole set.
"""

from avfusion.datasets.scenes.layout import MARKER, render_scenes

__all__ = ["MARKER", "render_scenes"]
