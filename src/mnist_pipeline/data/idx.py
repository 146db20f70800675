"""The IDX files of MNIST (http://yann.lecun.com/exdb/mnist/): unsigned bytes behind a big-endian header."""

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_file

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"
FILE_NAMES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
IMAGE_SIZE = 28  # pixels along each side
UNSIGNED_BYTE = 0x08
LARGEST_FILE = 2**30  # bytes that a file may have at most, compressed or not


def parse_idx(content: bytes, name: str) -> NDArray[np.uint8]:
    """The array that IDX bytes hold, read-only; where they do not, a `PipelineError` calls them `name`."""
    if len(content) < 4 or content[:2] != b"\0\0":
        raise PipelineError(f"{name}: not an IDX file: it starts with {content[:4]!r}, expected two zero bytes")
    element_type, dimensions = content[2], content[3]
    if element_type != UNSIGNED_BYTE:
        raise PipelineError(f"{name}: IDX element type 0x{element_type:02x}, expected 0x08 (unsigned byte)")
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise PipelineError(f"{name}: cut off inside its header: {len(content)} bytes, expected at least {header}")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        raise PipelineError(f"{name}: {len(content)} bytes, but its header announces shape {shape}, {expected} bytes")
    try:
        return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
    except ValueError as error:
        raise PipelineError(f"{name}: its header announces {dimensions} dimensions, too many or too large") from error


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, read-only, of the shape in its header."""
    return parse_idx(read_file(path, "run the download stage", LARGEST_FILE), str(path))


def format_idx(array: NDArray[np.uint8]) -> bytes:
    """The IDX bytes of an array of unsigned bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, UNSIGNED_BYTE, array.ndim, *array.shape)
    return header + array.tobytes()
