"""EfficientNet-Lite0: what a picture shows, after 1000 classes of ImageNet; 1280 values per picture.

`embedder` makes it the embedder of pictures `efficientnet_lite0`. Nothing here decodes files; README.md is the model
card of the weights.
"""

from typing import Any

from avfusion.embedders.base import Entry, Offer, PictureEmbedder


def _load(*, frames: float, **choices: Any) -> PictureEmbedder:
    """Weights are safetensors or `untrained`."""
    from avfusion.embedders.efficientnet_lite0.embedder import (  # here: torch takes long to import
        EfficientNetLite0Pictures,
        load_efficientnet_lite0,
    )

    return EfficientNetLite0Pictures(load_efficientnet_lite0(**choices), frames)


EMBEDDERS = {"efficientnet_lite0": Entry(video=Offer(_load, {"frames": 1.0}))}
