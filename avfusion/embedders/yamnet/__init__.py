"""YAMNet: what a sound is, after 521 classes of AudioSet; 1024 values per 0.96 s.

`embedder` makes it the embedder of sound `yamnet`. Nothing here decodes files; README.md is the model card of the
weights.
"""

from typing import Any

from avfusion.embedders.base import Entry, Offer, SoundEmbedder


def _load(*, hop: float, **choices: Any) -> SoundEmbedder:
    """Weights are safetensors or `untrained`."""
    from avfusion.embedders.yamnet.embedder import YAMNetSound, load_yamnet  # here: torch takes long to import

    return YAMNetSound(load_yamnet(**choices), hop)


EMBEDDERS = {"yamnet": Entry(audio=Offer(_load, {"hop": 0.48}))}
