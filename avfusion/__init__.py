"""avfusion: an MLflow-tracked experiment suite for audio-visual scene classification."""

__version__ = "0.1.0"
