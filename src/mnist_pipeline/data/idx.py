"""IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist/): numbers behind a big-endian header.

What is not such a file is a `PipelineError` that names it.
"""

import math
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import open_file

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"
FILE_NAMES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
ELEMENT_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DIMENSIONS = 4
LONGEST_HEADER = 4 + 4 * MOST_DIMENSIONS  # bytes
LARGEST_FILE = 2**30  # bytes that a downloaded file may have at most, compressed or not


def parse_idx(content: bytes, name: str) -> NDArray[np.uint8]:
    """The array that the bytes of an IDX file hold, read-only; an error calls them `name`."""
    element_type, shape, header = _parse_header(content[:LONGEST_HEADER], len(content), name)
    return np.frombuffer(content, element_type, offset=header).reshape(shape)


def read_idx(path: Path, name: str = "") -> NDArray[np.uint8]:
    """The array in an IDX file, mapped: what is not used is not read, and a change stays in memory."""
    with open_file(path, "run the download stage") as stream:
        start, size = stream.read(LONGEST_HEADER), os.fstat(stream.fileno()).st_size
        element_type, shape, header = _parse_header(start, size, name or str(path))
        if math.prod(shape) == 0:
            return np.zeros(shape, element_type)
        return np.asarray(np.memmap(stream, element_type, mode="c", offset=header, shape=shape))


def _parse_header(start: bytes, size: int, name: str) -> tuple[DTypeLike, tuple[int, ...], int]:
    """The type and shape of the array, and the length of the header, by the first bytes of a file of `size` bytes."""
    if len(start) < 4 or start[:2] != b"\0\0":
        raise PipelineError(f"{name}: not an IDX file: it starts with {start[:4]!r}, expected two zero bytes")
    kind, dimensions = start[2], start[3]
    if kind not in ELEMENT_TYPES or dimensions > MOST_DIMENSIONS:
        expected = f"expected 0x08 (unsigned byte) and at most {MOST_DIMENSIONS}"
        raise PipelineError(f"{name}: IDX element type 0x{kind:02x} and {dimensions} dimensions, {expected}")
    element_type, header = np.dtype(ELEMENT_TYPES[kind]), 4 + 4 * dimensions
    if len(start) < header:
        raise PipelineError(f"{name}: cut off inside its header: {len(start)} bytes, expected at least {header}")
    shape = struct.unpack(f">{dimensions}I", start[4:header])
    expected_size = header + math.prod(shape) * element_type.itemsize
    if size != expected_size:
        raise PipelineError(f"{name}: {size} bytes, but its header announces shape {shape}, {expected_size} bytes")
    return element_type, shape, header


def format_header(shape: Sequence[int], element_type: DTypeLike = np.uint8) -> bytes:
    """The bytes that stand before an array of this shape and type, whose bytes are in big-endian order."""
    kind = next(kind for kind, known in ELEMENT_TYPES.items() if np.dtype(known) == element_type)
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape)


def format_idx(array: NDArray[np.generic]) -> bytes:
    """The bytes of an IDX file that holds an array, of one of `ELEMENT_TYPES`."""
    return format_header(array.shape, array.dtype) + array.tobytes()
