"""Global mean and standard deviation: read from `global_mean_std.npz`, or computed as the course does.

D   features of a frame
"""

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avfusion.datasets.dataset import inside
from avfusion.errors import UserError
from avfusion.features import Modality
from avfusion.features.hdf5.folder import FOLDERS, MOMENTS
from avfusion.features.parts import Features

_LARGEST = 2**24  # bytes of one array
Vector = NDArray[np.float32]


def read_moments(root: Path, modality: Modality, *, allow_outside: bool) -> tuple[Vector, Vector] | None:
    """Mean and standard deviation, float32 [D], of the file beside the features; None without that file.

    Raises:
        UserError: it leaves `root`, or is not two finite float arrays of one length without objects in them.
    """
    path = root / FOLDERS[modality] / MOMENTS
    if not path.is_file():
        return None
    inside(root, f"{FOLDERS[modality]}/{MOMENTS}", allow_outside=allow_outside)
    try:
        with zipfile.ZipFile(path) as archive:
            mean, std = (_vector(archive, name) for name in ("global_mean", "global_std"))
        if mean.shape != std.shape or not np.isfinite([mean, std]).all() or (std < 0).any():
            raise ValueError("mean and deviation must be finite, of one length, and the deviation not negative")
    except Exception as error:  # zipfile, its unpackers and numpy's header parser raise whatever damage leads them to
        raise UserError(
            f"{path} cannot be used: {' '.join(str(error).split())}; expected global_mean and global_std, or delete it "
            "and they are computed"
        ) from error
    return mean, std


def _vector(archive: zipfile.ZipFile, name: str) -> Vector:
    """One array of an .npz file; its header is read before memory is taken for what it claims."""
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > _LARGEST:
        raise ValueError(f"{name} claims {member.file_size} bytes")
    content = io.BytesIO(archive.read(member))
    if np.lib.format.read_magic(content)[0] != 1:
        raise ValueError(f"{name} has an unknown format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(content)
    if dtype.kind != "f" or int(np.prod(shape, dtype=object)) * dtype.itemsize > member.file_size:
        raise ValueError(f"{name} claims {list(shape)} values of type {dtype}")
    content.seek(0)
    vector: Vector = np.load(content, allow_pickle=False).astype(np.float32).reshape(-1)
    return vector


class RunningMoments:
    """Population mean and standard deviation over all frames, taken clip by clip in float64."""

    def __init__(self) -> None:
        self._frames = 0
        self._mean: NDArray[np.float64] | None = None
        self._square: NDArray[np.float64] | None = None

    def add(self, features: Features) -> None:
        """Takes [T, D]; clips of another width than the first are left out, as they are from the store."""
        count = len(features)
        mean = features.mean(axis=0, dtype=np.float64)
        square = ((features - mean) ** 2).sum(axis=0)  # of the deviations: exact where the mean is large
        if self._mean is None or self._square is None:
            self._frames, self._mean, self._square = count, mean, square
        elif mean.shape == self._mean.shape:  # Chan, Golub, LeVeque 1979
            total = self._frames + count
            delta = mean - self._mean
            self._mean = self._mean + delta * (count / total)
            self._square = self._square + square + delta**2 * (self._frames * count / total)
            self._frames = total

    def result(self) -> tuple[Vector, Vector] | None:
        """Mean and standard deviation, float32 [D]; None if nothing was added."""
        if self._mean is None or self._square is None:
            return None
        return self._mean.astype(np.float32), np.sqrt(self._square / self._frames).astype(np.float32)
