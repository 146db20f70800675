"""What other images say against a label: nothing against a right one, much against a wrong one."""

import numpy as np
import pytest

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.validation import agreement
from mnist_pipeline.validation.agreement import CONTRADICTED, UNKNOWN, contradictions

Splits = dict[SplitName, Split]


def relabelled(split: Split, *places: int) -> Split:
    labels = split.labels.copy()
    labels[list(places)] = (labels[list(places)] + 5) % 10
    return Split(split.images, labels)


@pytest.mark.parametrize("name", ["train", "test"])
def test_exactly_the_wrong_labels_are_contradicted(splits: Splits, name: SplitName) -> None:
    found = contradictions(splits | {name: relabelled(splits[name], 3, 50, 120)})
    assert np.flatnonzero(found[name] > CONTRADICTED).tolist() == [3, 50, 120]


def test_no_image_learns_from_its_own_label(splits: Splits) -> None:
    """Labels that have nothing to do with the images agree by chance alone."""
    labels = np.random.default_rng(0).permutation(splits["train"].labels)
    found = contradictions(splits | {"train": Split(splits["train"].images, labels)})["train"]
    assert (found <= 0).mean() < 0.2


def test_images_beyond_the_sample_are_judged_too(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "SAMPLE", 200)
    monkeypatch.setattr(agreement, "CHUNK_PIXELS", 33 * 784)
    found = contradictions(splits | {"train": relabelled(splits["train"], *range(0, 400, 40))})["train"]
    assert np.flatnonzero(found > CONTRADICTED).tolist() == list(range(0, 400, 40))


def test_the_same_images_get_the_same_answers(splits: Splits) -> None:
    first, second = contradictions(splits), contradictions(splits)
    for name in splits:
        np.testing.assert_array_equal(first[name], second[name])


def test_large_images_take_no_more_features_than_small_ones() -> None:
    for side in (28, 29, 64, 224):
        features = agreement._encoder(np.zeros((3, side, side), np.uint8))(np.zeros((2, side, side), np.uint8))
        assert features.shape[1] <= 1 + agreement.PATCHES * agreement.PARTS**2


@pytest.mark.parametrize("images", [np.zeros((3, 28, 28)), np.full((1, 1, 1), 7), np.full((4, 2, 9), 255)])
def test_images_that_say_nothing_are_judged_without_an_error(images: np.ndarray) -> None:
    split = Split(images.astype(np.uint8), np.zeros(len(images), np.uint8))
    found = contradictions({"train": split, "test": split})
    assert all(np.isfinite(values).all() for values in found.values())


def test_of_images_of_another_size_nothing_is_known(splits: Splits) -> None:
    test = splits["test"]
    cropped = Split(test.images[:, 2:26, 2:26].copy(), test.labels)
    assert (contradictions(splits | {"test": cropped})["test"] == UNKNOWN).all()
