"""Frames of any size -> the pictures that EfficientNet-Lite0 looks at.

Bicubic (a = -0.5) with antialiasing to a shorter side of 256, the centre 224x224 of it, (x - 127) / 128. Resized values
are rounded to whole ones, as Pillow does it. Source: the network's configuration in timm (crop share 0.875).
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from avfusion.errors import UserError
from avfusion.l3.values import check_frame

SIDE = 224
_SCALED_SIDE = 256  # shorter side before cropping
_MEAN, _SCALE = 127.0, 128.0
_LONGEST = 4  # times the shorter side; what is farther from the centre is cut off before resizing, to bound the memory


def crop_frame(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """`frame` [H, W, 3] resized, and its centre [224, 224, 3]; UserError for anything but uint8 RGB."""
    check_frame(frame)
    if frame.dtype != np.uint8:
        raise UserError(f"a frame has values of type {frame.dtype}; expected uint8")
    frame = _without_far_ends(frame)
    shorter = min(frame.shape[:2])
    height, width = (int(_SCALED_SIDE * side / shorter) for side in frame.shape[:2])
    picture = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1).unsqueeze(0)
    if shorter != _SCALED_SIDE:
        picture = functional.interpolate(picture, (height, width), mode="bicubic", antialias=True)
    top, left = (round((side - SIDE) / 2) for side in (height, width))
    cropped: npt.NDArray[np.uint8] = picture[0, :, top : top + SIDE, left : left + SIDE].permute(1, 2, 0).numpy()
    return cropped


def stream_crops(frames: Iterable[npt.NDArray[np.uint8]]) -> Iterator[npt.NDArray[np.uint8]]:
    """`crop_frame` of each frame in turn, one in memory at a time."""
    for frame in frames:
        yield crop_frame(np.asarray(frame))


def normalised(crops: npt.NDArray[np.uint8]) -> Tensor:
    """Crops [B, 224, 224, 3] -> what the network takes, [B, 3, 224, 224] in [-1, 1]."""
    return ((torch.from_numpy(crops).float() - _MEAN) / _SCALE).permute(0, 3, 1, 2)


def _without_far_ends(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    longest = _LONGEST * min(frame.shape[:2])
    top, left = (max(0, (side - longest) // 2) for side in frame.shape[:2])
    return frame[top : top + longest, left : left + longest]
