"""Images belong to their labels, and the held-out part is a fair and repeatable sample."""

from pathlib import Path

import numpy as np
import pytest

from mnist_pipeline.data import catalog
from mnist_pipeline.data.dataset import load_split, pixel_statistics, stratified_split
from mnist_pipeline.data.idx import format_idx, read_idx
from mnist_pipeline.errors import PipelineError

LABELS = np.random.default_rng(1).choice(4, 1000, p=[0.1, 0.2, 0.3, 0.4]).astype(np.uint8)


def write(folder: Path, images: tuple[int, ...], labels: tuple[int, ...]) -> None:
    for name, shape in ((catalog.TRAIN_IMAGES, images), (catalog.TRAIN_LABELS, labels)):
        (folder / name).write_bytes(format_idx(np.zeros(shape, np.uint8)))


@pytest.mark.parametrize(
    ("split", "images", "labels", "count"),
    [
        ("train", "train-images-idx3-ubyte", "train-labels-idx1-ubyte", 400),
        ("test", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 200),
    ],
)
def test_a_split_is_its_two_files(tiny_data: Path, split, images: str, labels: str, count: int) -> None:
    loaded = load_split(tiny_data, split)
    assert len(loaded) == count
    np.testing.assert_array_equal(loaded.images, read_idx(tiny_data / images))
    np.testing.assert_array_equal(loaded.labels, read_idx(tiny_data / labels))


def test_images_and_labels_are_taken_together(tiny_data: Path) -> None:
    whole = load_split(tiny_data, "train")
    part = whole.take(np.array([5, 3]))
    np.testing.assert_array_equal(part.images, np.stack([whole.images[5], whole.images[3]]))
    assert part.labels.tolist() == [whole.labels[5], whole.labels[3]]


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        ((3, 28, 28), (4,), "train-images-idx3-ubyte holds 3 images, train-labels-idx1-ubyte 4 labels"),
        ((4,), (4, 28, 28), r"shape \(4,\) and train-labels-idx1-ubyte \(4, 28, 28\); .* are the files exchanged\?"),
        ((4, 784), (4,), r"train-images-idx3-ubyte has shape \(4, 784\)"),
    ],
)
def test_files_that_do_not_belong_together_are_named(tmp_path: Path, images, labels, told: str) -> None:
    write(tmp_path, images, labels)
    with pytest.raises(PipelineError, match=told) as caught:
        load_split(tmp_path, "train")
    assert str(caught.value).startswith(f"{tmp_path}: ")


@pytest.mark.parametrize("missing", [catalog.TRAIN_IMAGES, catalog.TRAIN_LABELS])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    write(tmp_path, (3, 28, 28), (3,))
    (tmp_path / missing).unlink()
    with pytest.raises(PipelineError, match=f"{missing}: No such file"):
        load_split(tmp_path, "train")


@pytest.mark.parametrize("held_out", [1, 3, 100, 333, 997, 999])
def test_exactly_as_many_as_asked_are_held_out_and_every_image_is_on_one_side(held_out: int) -> None:
    kept, held = stratified_split(LABELS, held_out, seed=7)
    assert len(held) == held_out
    assert sorted([*kept, *held]) == list(range(1000))
    assert all((np.diff(side) > 0).all() for side in (kept, held))


@pytest.mark.parametrize("held_out", [3, 100, 333, 997])
def test_each_class_gives_its_share_to_rounding(held_out: int) -> None:
    _, held = stratified_split(LABELS, held_out, seed=7)
    share = np.bincount(LABELS) * held_out / 1000
    given = np.bincount(LABELS[held], minlength=4)
    assert (np.abs(given - share) < 1).all()


def test_the_largest_remainder_gets_the_image_that_is_over() -> None:
    labels = np.repeat([0, 1, 2], [17, 14, 9]).astype(np.uint8)
    _, held = stratified_split(labels, 10, seed=0)
    assert np.bincount(labels[held]).tolist() == [4, 4, 2]


def test_a_label_that_no_image_has_is_no_obstacle() -> None:
    labels = np.repeat([1, 5], [10, 30]).astype(np.uint8)
    _, held = stratified_split(labels, 8, seed=0)
    assert np.bincount(labels[held]).tolist() == [0, 2, 0, 0, 0, 6]


def test_the_seed_alone_decides() -> None:
    first, again, other = (stratified_split(LABELS, 100, seed)[1] for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert len(set(first) & set(other)) < 50


def test_the_split_is_never_by_stride() -> None:
    """MNIST's training images alternate between two sources, even where the labels are in order."""
    labels = np.repeat(np.arange(10), 600).astype(np.uint8)
    kept, held = stratified_split(labels, 1000, seed=1)
    for side in (kept, held):
        assert 0.44 < np.mean(side % 2) < 0.56
        assert len(np.unique(np.diff(side))) > 3
    assert 0.44 < np.mean(held % 600 < 300) < 0.56


@pytest.mark.parametrize("held_out", [0, -1, 1000, 1001])
def test_a_part_without_images_is_refused(held_out: int) -> None:
    told = f"train.validation_size: {held_out} images to hold out of 1000; expected 1 to 999"
    with pytest.raises(PipelineError, match=told):
        stratified_split(LABELS, held_out, seed=1)


def test_mean_and_deviation_are_those_of_all_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 7, 5), dtype=np.uint8)
    assert pixel_statistics(images) == pytest.approx((images.mean() / 255, images.std() / 255), rel=1e-12)
