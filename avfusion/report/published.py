"""What the study printed, as data.

Source: the printed tables, figures and text of the course study that this project reproduces (audio-visual scene
classification with OpenL3 features on TAU Urban Audio-Visual Scenes 2021, development set, fold 1). Numbers are
kept exactly as printed, misprints included.
"""

from types import MappingProxyType
from typing import Final

SOURCE: Final = (
    "the study's printed tables; TAU Urban Audio-Visual Scenes 2021, fold 1, 3,645 test clips, OpenL3 features"
)
TEST_CLIPS: Final = 3645

CLASSES: Final = (
    "airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall", "street_pedestrian",
    "street_traffic", "tram",
)  # fmt: skip
"""The ten classes of TAU Urban Audio-Visual Scenes 2021."""

CITIES: Final = frozenset(
    ("amsterdam", "barcelona", "helsinki", "lisbon", "london", "lyon", "madrid", "milan", "paris", "prague",
     "stockholm", "vienna")
)  # fmt: skip
"""Where TAU was recorded; every clip's name holds one of them."""

PER_CLASS: Final = MappingProxyType(
    {
        "video_only": {
            "airport": (0.48, 0.28, 0.35),
            "bus": (0.64, 0.82, 0.72),
            "metro": (0.82, 0.69, 0.75),
            "metro_station": (0.75, 0.85, 0.80),
            "park": (0.85, 0.82, 0.83),
            "public_square": (0.53, 0.58, 0.56),
            "shopping_mall": (0.55, 0.69, 0.61),
            "street_pedestrian": (0.58, 0.49, 0.53),
            "street_traffic": (0.74, 0.70, 0.72),
            "tram": (0.50, 0.48, 0.49),
        },
        "audio_only": {
            "airport": (0.68, 0.77, 0.72),
            "bus": (0.78, 0.72, 0.75),
            "metro": (0.73, 0.64, 0.68),
            "metro_station": (0.66, 0.70, 0.68),
            "park": (0.92, 0.77, 0.84),
            "public_square": (0.57, 0.66, 0.61),
            "shopping_mall": (0.70, 0.62, 0.66),
            "street_pedestrian": (0.65, 0.62, 0.63),
            "street_traffic": (0.82, 0.82, 0.82),
            "tram": (0.62, 0.76, 0.69),
        },
    }
)
"""Tables 1 (video only) and 2 (audio only): precision, recall, F1."""

SCORES: Final = MappingProxyType(
    {
        "baseline": (0.809, 0.535),
        "early": (0.812, 0.529),
        "late": (0.816, 0.497),
        "best_late": (0.824, 0.480),
        "flatten": (0.798, 0.585),
        "lstm": (0.777, 0.645),
    }
)
"""Tables 5 to 9: accuracy, log loss. `late` has alpha 0.5, `best_late` the best alpha."""

ALPHA: Final = 0.5
"""The alpha of `late`; alpha weighs the video."""
BEST_ALPHA: Final = 0.25

VIDEO_ERRORS: Final = MappingProxyType(
    {
        "airport": {
            "bus": "0.06", "metro": "0.0", "metro_station": "0.3267", "park": "0.0", "public_square": "0.0198",
            "shopping_mall": "0.49", "street_pedestrian": "0.001", "street_traffic": "0.005",
        },
        "bus": {
            "airport": "0", "metro": "0.03", "metro_station": "0.32673", "park": "0.0", "public_square": "0.0198",
            "shopping_mall": "0.03", "street_pedestrian": "0.001", "street_traffic": "0.933",
        },
    }
)  # fmt: skip
"""Tables 3 (airport) and 4 (bus): of the video-only model's errors on the class, the share of each answer. As text,
because the study prints from one to five decimals. There is no column for tram."""

MISPRINTS: Final = MappingProxyType(
    {
        "airport": "As printed, the row sums to 0.90, and it has no column for tram.",
        "bus": (
            "As printed, the row sums to 1.34, its cells 0.32673, 0.0198 and 0.001 repeat Table 3, its caption says "
            "airport, and its 0.933 stands under street_traffic while the text says that bus is taken for tram."
        ),
    }
)

CONFLICT_CLASSES: Final = ("airport", "bus", "shopping_mall")
"""The classes of which the study says that the modalities conflict most."""

CLAIMS: Final = MappingProxyType(
    {
        "a": "airport, bus and shopping_mall show the strongest conflict between the modalities",
        "b": "from the picture, airport is taken for shopping_mall and metro_station, and bus for tram",
        "c": "early and late fusion both beat the baseline",
        "d": "late fusion beats early fusion",
        "e": "the best alpha is 0.25",
        "f": "flattening the frames and the LSTM are both worse than averaging over time",
    }
)
