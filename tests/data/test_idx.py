"""The file format: what is written is read again, and each kind of damage is told in one line."""

import struct
from pathlib import Path

import numpy as np
import pytest

from mnist_pipeline.data.idx import format_idx, parse_idx, read_idx
from mnist_pipeline.errors import PipelineError


def idx(shape: tuple[int, ...], content: bytes, element_type: int = 8) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, element_type, len(shape), *shape) + content


@pytest.mark.parametrize("shape", [(7,), (0,), (3, 28, 28), (2, 5, 4), (2, 3, 4, 5)])
def test_what_is_written_is_read_again(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "file"
    path.write_bytes(format_idx(array))
    assert read_idx(path).dtype == np.uint8
    np.testing.assert_array_equal(read_idx(path), array)


def test_the_bytes_are_those_of_the_format() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert format_idx(array) == bytes.fromhex("00000802 00000002 00000003 000102030405")
    assert format_idx(array) == idx((2, 3), bytes(range(6)))


def test_the_order_in_memory_does_not_matter() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert format_idx(array.T) == idx(
        (4, 3, 2), bytes(array[i, j, k] for k in range(4) for j in range(3) for i in range(2))
    )


def test_what_was_read_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        parse_idx(idx((2,), b"ab"), "labels")[0] = 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not an IDX file: it starts with b''"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\x1f\x8b\x08\0 gzip", "not an IDX file"),
        (b"<!doctype html>", "not an IDX file: it starts with b'<!do', expected two zero bytes"),
        (idx((2,), b"12345678", element_type=0x0D), "element type 0x0d, expected 0x08 (unsigned byte)"),
        (idx((2, 28, 28), b"")[:11], "cut off inside its header: 11 bytes, expected at least 16"),
        (idx((3,), b"12"), "10 bytes, but its header announces shape (3,), 11 bytes"),
        (idx((3,), b"1234"), "12 bytes, but its header announces shape (3,), 11 bytes"),
        (idx((2**32 - 1,) * 3, b"1"), "17 bytes, but its header announces shape (4294967295,"),
    ],
)
def test_damage_is_told_in_one_line_that_names_the_file(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(PipelineError) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_which_stage_brings_it(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"missing: No such file or directory: run the download stage first"):
        read_idx(tmp_path / "missing")
