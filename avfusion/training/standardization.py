"""Features standardised by the mean and standard deviation of every frame of the training clips (the study)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class Moments:
    """Per clip the number of frames [N], the mean [N, D] and the mean square [N, D] over its frames, in float64."""

    frames: NDArray[np.int64]
    mean: NDArray[np.float64]
    mean_square: NDArray[np.float64]


def clip_moments(clips: Sequence[NDArray[np.float32]]) -> Moments:
    """Moments of each of at least one clip's features [T, D], D alike; zeros for a clip without frames."""
    frames = np.array([len(clip) for clip in clips])
    mean, mean_square = (np.empty((len(clips), clips[0].shape[1])) for _ in range(2))
    values = np.empty((0, 0))  # one for all clips: new memory for each would take longer than the sums
    for row, clip in enumerate(clips):
        if values.shape != clip.shape:
            values = np.empty(clip.shape)
        np.copyto(values, clip)
        np.add.reduce(values, axis=0, out=mean[row])
        np.einsum("td,td->d", values, values, out=mean_square[row])
    divisor = np.maximum(1, frames)[:, None]
    return Moments(frames, mean / divisor, mean_square / divisor)


def global_mean_std(moments: Moments, clips: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Population mean and standard deviation [D] over all frames of `clips`; 1 where a dimension is constant."""
    weights = moments.frames[clips].astype(np.float64)
    weights /= max(1.0, weights.sum())
    mean = weights @ moments.mean[clips]
    variance = weights @ moments.mean_square[clips] - mean**2
    constant = variance <= 1e-12 * np.maximum(mean**2, 1e-12)  # what rounding leaves of a constant
    std = np.sqrt(np.where(constant, 1.0, variance))
    return mean.astype(np.float32), std.astype(np.float32)


class Standardize(nn.Module):
    """(x - mean) / std over the last dimension, with mean and std [D] kept as buffers."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: NDArray[np.float32], std: NDArray[np.float32]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, features: Tensor) -> Tensor:
        """Features [..., D], standardised."""
        return (features - self.mean) / self.std
