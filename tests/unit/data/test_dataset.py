"""IDX files are read as written, images belong to their labels, and the validation set is a fair sample."""

import struct
from pathlib import Path

import numpy as np
import pytest

from mnist_pipeline.data import dataset
from mnist_pipeline.data.dataset import (
    load_label_names,
    load_split,
    pixel_statistics,
    validation_split,
    write_images,
    write_labels,
)
from mnist_pipeline.data.idx import FILE_NAMES, TRAIN_IMAGES, TRAIN_LABELS, format_idx, read_idx
from mnist_pipeline.errors import PipelineError

LABELS = np.random.default_rng(1).choice(4, 1000, p=[0.1, 0.2, 0.3, 0.4]).astype(np.uint8)


@pytest.mark.parametrize(("split", "files"), [("train", FILE_NAMES[:2]), ("test", FILE_NAMES[2:])])
def test_a_split_is_its_two_files(tiny_data: Path, split, files) -> None:
    loaded = load_split(tiny_data, split)
    np.testing.assert_array_equal(loaded.images[..., 0], read_idx(tiny_data / files[0]))
    np.testing.assert_array_equal(loaded.labels, read_idx(tiny_data / files[1]))
    part = loaded.take(np.array([5, 3]))
    np.testing.assert_array_equal(part.images, loaded.images[[5, 3]])
    assert part.labels.tolist() == [loaded.labels[5], loaded.labels[3]]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ((3, 28, 28), (4,)),
        ((4,), (4, 28, 28)),
        ((0, 28, 28), (0,)),
        ((3, 28, 28), None),
    ],
)
def test_files_that_do_not_belong_together_are_named(tmp_path: Path, images, labels) -> None:
    for name, shape in ((TRAIN_IMAGES, images), (TRAIN_LABELS, labels)):
        if shape:
            (tmp_path / name).write_bytes(format_idx(np.zeros(shape, np.uint8)))
    with pytest.raises(PipelineError, match=TRAIN_LABELS if labels is None else TRAIN_IMAGES) as caught:
        load_split(tmp_path, "train")
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_any_size_have_channels_and_are_mapped(tmp_path: Path, channels: int) -> None:
    """A change of the array stays in memory."""
    images = np.random.default_rng(1).integers(0, 256, (5, 9, 7, channels), dtype=np.uint8)
    write_images(tmp_path, "train", (9, 7, channels), [images[:3], images[:0], images[3:]])
    write_labels(tmp_path, "train", np.array([0, 299, 1, 2, 3]), 300)
    assert read_idx(dataset.split_file(tmp_path, "train", "images")).ndim == (3 if channels == 1 else 4)
    loaded = load_split(tmp_path, "train")
    np.testing.assert_array_equal(loaded.images, images, strict=True)
    assert loaded.labels.tolist() == [0, 299, 1, 2, 3]
    loaded.images[0] = 0
    np.testing.assert_array_equal(load_split(tmp_path, "train").images, images)


def test_label_names_are_those_of_the_file_or_numbers(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    assert load_label_names(path, 3) == ["0", "1", "2"]
    path.write_text('["cat", "dog", "größe"]')
    assert load_label_names(path, 3) == ["cat", "dog", "größe"]
    assert load_label_names(path, 2) == ["cat", "dog"]

    for content in ("", "{}", '["a"]', "[1, 2]", "[" * 100_000):
        path.write_text(content)
        with pytest.raises(PipelineError, match=r"classes\.json"):
            load_label_names(path, 2)


@pytest.mark.parametrize(("share", "size"), [(1e-9, 1), (0.0833, 83), (0.99999, 999)])
def test_each_class_gives_its_share_and_every_image_is_on_one_side(share: float, size: int) -> None:
    kept, validation = validation_split(LABELS, share, seed=7)
    assert len(validation) == size
    assert sorted([*kept, *validation]) == list(range(1000))
    assert all((np.diff(side) > 0).all() for side in (kept, validation))
    exact = np.bincount(LABELS) * size / 1000
    assert (np.abs(np.bincount(LABELS[validation], minlength=4) - exact) < 1).all()


def test_the_same_images_are_drawn_as_ever() -> None:
    """Results of years hang on it."""
    first, other = (validation_split(LABELS, 0.01, seed)[1] for seed in (1, 2))
    assert first.tolist() == [51, 438, 489, 540, 630, 702, 706, 761, 906, 947]
    assert len(set(first) & set(other)) < 5


def test_small_data_sets_have_a_validation_set_too() -> None:
    assert len(validation_split(LABELS[:200], 0.0833, seed=1)[1]) == 17
    assert [len(side) for side in validation_split(LABELS[:2], 0.0833, seed=1)] == [1, 1]
    with pytest.raises(PipelineError, match=r"train\.validation_share"):
        validation_split(LABELS[:1], 0.0833, seed=1)


def test_the_split_is_never_by_stride() -> None:
    """MNIST's training images alternate between two sources, even where the labels are in order."""
    labels = np.repeat(np.arange(10), 600).astype(np.uint8)
    kept, validation = validation_split(labels, 1 / 6, seed=1)
    for side in (kept, validation):
        assert 0.44 < np.mean(side % 2) < 0.56
        assert len(np.unique(np.diff(side))) > 3
    assert 0.44 < np.mean(validation % 600 < 300) < 0.56


def test_mean_and_deviation_are_those_of_the_chosen_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 7, 5, 3), dtype=np.uint8)
    chosen = np.arange(3, 50, 2)
    expected = images[chosen].mean() / 255, images[chosen].std() / 255
    assert pixel_statistics(images, chosen) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(dataset, "CHUNK", 300)  # pixels, of three images: larger data are read in several parts
    assert pixel_statistics(images, chosen) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(7,), (0,), (3, 28, 28), (2, 3, 4, 5)])
def test_what_is_written_is_read_again(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    (tmp_path / "file").write_bytes(format_idx(array.T))
    np.testing.assert_array_equal(read_idx(tmp_path / "file"), array.T, strict=True)
    assert format_idx(np.arange(6, dtype=np.uint8).reshape(2, 3)) == idx((2, 3), bytes(range(6)))


def idx(shape: tuple[int, ...], content: bytes, element_type: int = 8) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, element_type, len(shape), *shape) + content


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<!doctype html>", "not an IDX file"),
        (idx((2,), b"12345678", element_type=0x0A), "0x0a"),
        (idx((2, 28, 28), b"")[:11], "header"),
        (idx((2**32 - 1,) * 3, b"1"), r"shape \(4294967295,"),
        (idx((0, *[2**32 - 1] * 5), b""), "6 dimensions"),
        (None, "missing"),
        ("/dev/zero", "not a regular file"),
    ],
)
def test_damage_is_one_line_that_names_the_file(tmp_path: Path, content: bytes | str | None, problem: str) -> None:
    path = tmp_path / TRAIN_IMAGES
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.symlink_to(content)
    with pytest.raises(PipelineError, match=f"^{path}: .*{problem}.*$"):
        read_idx(path)
