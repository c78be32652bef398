"""The feature store: what extraction writes and training reads.

A store is a folder: audio.npy and video.npy (float32, the frames of all clips one after another),
clips.csv and failures.csv, and store.json, which is written last: a folder without it is unfinished.
Nothing in it is a pickle. Nothing here computes a feature.
"""

from avfusion.features.layout import MODALITIES, REQUIRED, Modality, Required
from avfusion.features.store import FeatureStore

__all__ = ["MODALITIES", "REQUIRED", "FeatureStore", "Modality", "Required"]
