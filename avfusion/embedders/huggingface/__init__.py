"""Any network of pictures or sound that transformers knows, by its name on the Hugging Face hub: `hf:MODEL`.

`hub` finds a model's files, `networks` has what transformers makes of them, `model` is that part of a model with its
provenance, `pictures` and `sound` make it an embedder. The extra `avfusion[transformers]` is needed. Nothing here runs
code that comes with a model, or unpickles anything.
"""

from typing import Any

from avfusion.embedders.base import Entry, Offer, PictureEmbedder, SoundEmbedder


def _load_pictures(*, frames: float, **choices: Any) -> PictureEmbedder:
    from avfusion.embedders.huggingface.pictures import ModelPictures  # here: torch takes long to import

    return ModelPictures(frames=frames, **choices)


def _load_sound(*, hop: float, **choices: Any) -> SoundEmbedder:
    from avfusion.embedders.huggingface.sound import ModelSound

    return ModelSound(hop=hop, **choices)


_NEEDS = ("transformers",)

EMBEDDERS = {
    "hf:": Entry(
        video=Offer(_load_pictures, {"frames": 1.0}, _NEEDS),
        audio=Offer(_load_sound, {"hop": 0.0}, _NEEDS),  # 0: as long as the model's window
    )
}
