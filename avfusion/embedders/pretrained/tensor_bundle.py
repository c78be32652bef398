"""Reads the tensors of a TensorFlow checkpoint without TensorFlow.

A checkpoint ("tensor bundle") is two files: `.data-...` holds the raw numbers one after the other, `.index` tells for
each name where they lie. The index is a sorted table as in LevelDB (blocks of entries that share the beginning of their
keys with the one before; the last 48 bytes point to the index of blocks), its values are protocol buffers
(tensorflow/core/protobuf/tensor_bundle.proto). Only what the one checkpoint needs is here: float32, one data file, no
compression.
"""

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_FOOTER = 48
_MAGIC = bytes.fromhex("57fb808b247547db")
_FLOAT32 = 1
_DTYPE, _SHAPE, _OFFSET, _SIZE = 1, 2, 4, 5  # fields of a BundleEntryProto
_VARINT, _BYTES, _FIXED32 = 0, 2, 5  # kinds of fields in a protocol buffer


def read_tensors(index: bytes, data: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """Name -> array of every float32 tensor in a checkpoint's `index` and `data`; ValueError if it is none."""
    if index[-len(_MAGIC) :] != _MAGIC:
        raise ValueError("this is no index of a TensorFlow checkpoint")
    footer = index[-_FOOTER:]
    position = 0
    for _ in range(2):  # the handle of a block that is not needed: offset and size
        _, position = _varint(footer, position)
    tensors = {}
    for _, handle in _entries(_block(index, footer, position)):
        for name, entry in _entries(_block(index, handle, 0)):
            fields = {field: (number, content) for field, number, content in _fields(entry)}
            if name and fields[_DTYPE][0] == _FLOAT32:
                (offset, _), (size, _) = fields.get(_OFFSET, (0, b"")), fields[_SIZE]
                # a shape is a list of dimensions, a dimension a message whose first field is its size
                dimensions = [_fields(dimension) for _, _, dimension in _fields(fields[_SHAPE][1])]
                shape = [next(size for _, size, _ in dimension) for dimension in dimensions]
                tensors[name.decode()] = np.frombuffer(data[offset : offset + size], "<f4").reshape(shape)
    return tensors


def _block(index: bytes, handle: bytes, position: int) -> bytes:
    """The block that `handle` points to from `position` on."""
    offset, position = _varint(handle, position)
    size, _ = _varint(handle, position)
    if index[offset + size] != 0:
        raise ValueError("the index of the TensorFlow checkpoint is compressed; expected a plain one")
    return index[offset : offset + size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of a block; its end lists places to start from, which nobody needs who reads all."""
    (n_restarts,) = struct.unpack("<I", block[-4:])
    position, key = 0, b""
    while position < len(block) - 4 - 4 * n_restarts:
        shared, position = _varint(block, position)
        n_key, position = _varint(block, position)
        n_value, position = _varint(block, position)
        key = key[:shared] + block[position : position + n_key]
        yield key, block[position + n_key : position + n_key + n_value]
        position += n_key + n_value


def _fields(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The fields of a protocol buffer: which, and its whole number or its bytes (which may be a message itself)."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            number, position = _varint(message, position)
            yield field, number, b""
        elif kind in (_BYTES, _FIXED32):
            size, position = _varint(message, position) if kind == _BYTES else (4, position)
            yield field, 0, message[position : position + size]
            position += size
        else:
            raise ValueError(f"a field of kind {kind} in the index of the TensorFlow checkpoint")


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, seven bits a byte from the lowest on, and the position behind it."""
    value = shift = 0
    while True:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
