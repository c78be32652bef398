"""The streams of a media file, for embedding; decoding needs PyAV."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from avfusion.errors import UserError

Result = TypeVar("Result")


def sound_of(path: Path, consume: Callable[[npt.NDArray[np.float32], int], Result]) -> Result | str:
    """What `consume` makes of the samples [n, 1] and their rate (Hz); or why there are none."""
    _require_pyav()
    from avfusion.media import MediaError, read_sound

    try:
        samples, rate = read_sound(path)
    except MediaError as error:
        return str(error)
    return consume(samples, rate)


def pictures_of(path: Path, consume: Callable[[Iterator[npt.NDArray[np.uint8]], float], Result]) -> Result | str:
    """What `consume` makes of all frames [H, W, 3] and their rate per second; or why there are none.

    `consume` runs a second time if the file has another number of frames than it announced.
    """
    _require_pyav()
    from avfusion.media import MediaError, VideoReader

    try:
        reader = VideoReader(path)
        # every frame once: as many moments as there are frames
        result, _ = reader.sample(reader.n_frames, lambda frames: consume(frames, reader.n_frames / reader.seconds))
    except MediaError as error:
        return str(error)
    return result


def _require_pyav() -> None:
    if importlib.util.find_spec("av") is None:
        raise UserError("reading files needs PyAV; pip install av, or pass arrays")
