"""A clip in two halves, for clusters: decoding and preparation on any machine, the network on one with a GPU.

Together they give what `clip_features` gives in one go, to the bit.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avfusion.embedders import SplitEmbedder
from avfusion.extraction.clip import Frame, Taken, as_part, checked, pictures_wanted, take
from avfusion.features import Required
from avfusion.features.parts import Part
from avfusion.features.sources import UNKNOWN, Sources
from avfusion.media import DEFAULT_LIMITS, Limits, MediaError, Samples

Array = NDArray[np.float32]
Pictures = NDArray[Any]

LONGEST = 30.0
"""Seconds of media that are prepared at most: ten with OpenL3 take 60 MB, and this must fit into memory at once."""


@dataclass(frozen=True)
class Prepared:
    """What the second half needs of a clip.

    Attributes:
        clip_id: the clip.
        required: what it must have to be used.
        taken: its sound, float32 [n] (mono, at the embedder's rate), and its distinct frames, [M, H, W, 3].
        sources: the media, for the part.
    """

    clip_id: str
    required: Required
    taken: Taken[Array, Pictures]
    sources: Sources = UNKNOWN


class _TooLongError(Exception):
    """More sound or pictures than can be prepared at once."""


def prepare_clip(
    embedder: SplitEmbedder,
    clip_id: str,
    audio: Path | None,
    video: Path | None,
    *,
    required: Required = "both",
    limits: Limits = DEFAULT_LIMITS,
    decoding: AbstractContextManager[object] | None = None,
) -> Prepared | Part | None:
    """The first half; for the arguments see `clip_features`.

    Returns:
        What the second half needs; or a Part with the reason why the clip cannot be used; or None
        for a clip longer than `LONGEST`, of which the second half must read the files itself.
    """

    def hear(blocks: Iterator[Samples], rate: int) -> Array:
        n_samples = 0

        def counted() -> Iterator[Samples]:
            nonlocal n_samples
            for block in blocks:
                n_samples += len(block)
                if n_samples > LONGEST * rate:
                    raise _TooLongError
                yield block

        return np.concatenate(list(embedder.prepare_audio(counted(), rate)))

    most = pictures_wanted(embedder, LONGEST)

    def see(frames: Iterator[Frame]) -> Pictures:
        pictures = []
        for picture in embedder.prepare_video(frames):
            pictures.append(picture)
            if len(pictures) > most:
                raise _TooLongError
        return np.stack(pictures) if pictures else np.zeros((0, 0, 0, 3), np.float32)

    try:
        taken = take(embedder, audio, video, hear, see, required, limits, decoding or nullcontext())
    except MediaError as error:
        return Part(clip_id, reason=str(error))
    except _TooLongError:
        return None
    return Prepared(clip_id, required, taken)


def embed_prepared(embedder: SplitEmbedder, prepared: Prepared) -> Part:
    """The second half: the part of the clip, its features or the reason why there are none."""
    taken, notes = prepared.taken, [prepared.taken.note] if prepared.taken.note else []

    def attempt(embed: Callable[[Any], Array], inputs: Any) -> Array | None:
        try:
            return None if inputs is None else checked(embed(inputs))
        except MediaError as error:
            if prepared.required == "both":
                raise
            notes.append(str(error))
            return None

    try:
        sound = attempt(embedder.embed_prepared_audio, None if taken.sound is None else [taken.sound])
        pictures = attempt(embedder.embed_prepared_video, taken.pictures)
    except MediaError as error:
        return Part(prepared.clip_id, reason=str(error), sources=prepared.sources)
    note = "; ".join(dict.fromkeys(notes))
    if sound is None and pictures is None:
        return Part(prepared.clip_id, reason=note, sources=prepared.sources)
    positions = taken.positions if pictures is not None else taken.positions[:0]
    features = Taken(sound, pictures, positions, note, taken.audio_step, taken.video_step)
    return replace(as_part(prepared.clip_id, features), sources=prepared.sources)
