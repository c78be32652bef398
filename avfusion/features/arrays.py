"""The arrays of a feature store while they are written.

T   frames of one clip
D   features of a frame
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from avfusion.features.parts import Features
from avfusion.system.files import replacing


class ArrayFile:
    """A .npy file [sum of frames, D] that grows by clips."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._n_rows = self._width = 0
        self._header()
        self._start = stream.tell()

    def append(self, clip_id: str, features: Features) -> None:
        """Adds [T, D], where T may be 0."""
        if not len(features):
            return
        self._width = self._width or features.shape[1]
        if features.shape[1] != self._width:
            name = Path(self._stream.name).name.split(".")[1]
            raise ValueError(f"{clip_id}: {name} has width {features.shape[1]}, others have {self._width}")
        self._stream.write(np.ascontiguousarray(features, "<f4").data)
        self._n_rows += len(features)

    def close(self) -> None:
        """Writes the true shape."""
        self._stream.seek(0)
        self._header()
        if self._stream.tell() != self._start:
            raise ValueError("the header of a .npy file changed its length with the number of rows")

    def _header(self) -> None:
        shape = (self._n_rows, self._width)
        np.lib.format.write_array_header_1_0(self._stream, {"descr": "<f4", "fortran_order": False, "shape": shape})


@contextmanager
def array_file(file: Path) -> Iterator[ArrayFile]:
    """Writes `file`, whole or not at all."""
    with replacing(file) as temporary, temporary.open("wb") as stream:
        array = ArrayFile(stream)
        yield array
        array.close()
