"""From clips to a feature store, in worker processes."""

from avfusion.extraction.clip import MODALITIES, Modalities, clip_features
from avfusion.extraction.driver import extract

__all__ = ["MODALITIES", "Modalities", "clip_features", "extract"]
