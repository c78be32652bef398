"""avfusion: an MLflow-tracked experiment suite for audio-visual scene classification.

One folder per step of the way from clips to a report. Nothing here reads a command line: `entrypoints` does.
"""

__version__ = "0.1.0"
