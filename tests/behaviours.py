"""What anyone would expect of a recogniser, of whatever models a test module has for it."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mnist_pipeline.export.onnx_file import ServedClassifier
from mnist_pipeline.models.classifier import Classifier
from mnist_pipeline.serving.session import logits, open_session


@dataclass(frozen=True)
class Subject:
    """A trained model, its ONNX files, and images that it has not seen, `uint8 [N, 28, 28]`, with their labels.

    The limits are the wider, the fewer the images and the worse the model.
    """

    classifier: Classifier
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    float32: bytes
    int8: bytes | None  # missing where it is not shipped
    unmoved: float  # share of the predictions that a pixel to the side leaves as they are, at least
    luck: float  # accuracy that more noise may give, at most
    logit_difference: float  # of ONNX
    rounded_others: float  # share of the predictions that are others in INT8 and bfloat16, at most

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return ServedClassifier(self.classifier).logits(images)

    def accuracy(self, images: NDArray[np.uint8]) -> float:
        return float((self.logits(images).argmax(1) == self.labels).mean())

    def assert_nearly_same(self, found: NDArray[np.float32], images: NDArray[np.uint8]) -> None:
        """As rounding leaves it: the logits differ by a few hundredths of their range."""
        expected = self.logits(images)
        assert (found.argmax(1) != expected.argmax(1)).mean() <= self.rounded_others
        assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


class Behaviours:
    """For a module's own class of tests to inherit, beside its own fixture `subject`."""

    @pytest.mark.parametrize("shift", [(0, 1), (0, -1), (1, 0), (-1, 0)], ids=str)
    def test_a_pixel_to_the_side_changes_hardly_a_prediction(self, subject: Subject, shift: tuple[int, int]) -> None:
        there = subject.logits(subject.images).argmax(1)
        beside = subject.logits(np.roll(subject.images, shift, (1, 2))).argmax(1)
        assert (there == beside).mean() >= subject.unmoved

    def test_the_more_noise_the_worse(self, subject: Subject) -> None:
        noise = np.random.default_rng(5).normal(size=subject.images.shape)
        noisy = [
            (subject.images + strength * noise).clip(0, 255).astype(np.uint8) for strength in (0, 40, 80, 120, 200)
        ]
        found = [subject.accuracy(images) for images in noisy]
        assert all(after <= before + subject.luck for before, after in itertools.pairwise(found)), found
        assert found[-1] < 0.9

    def test_the_order_and_the_size_of_a_batch_do_not_matter(self, subject: Subject) -> None:
        expected = subject.logits(subject.images)
        order = np.random.default_rng(1).permutation(len(subject.images))
        np.testing.assert_allclose(subject.logits(subject.images[order]), expected[order], atol=1e-4)
        for size in (1, 7, 128):
            parts = [subject.logits(subject.images[start : start + size]) for start in range(0, 300, size)]
            np.testing.assert_allclose(np.concatenate(parts)[:300], expected[:300], atol=1e-4)

    def test_bfloat16_predicts_nearly_the_same(self, subject: Subject) -> None:
        """A network multiplies so while it trains with `precision: auto`."""
        few = subject.images[:1000]
        with torch.autocast("cpu", torch.bfloat16):
            found = subject.classifier(torch.tensor(few)).detach().float().numpy()
        subject.assert_nearly_same(found, few)

    def test_onnx_predicts_the_same(self, subject: Subject) -> None:
        found, expected = logits(open_session(subject.float32), subject.images), subject.logits(subject.images)
        np.testing.assert_allclose(found, expected, atol=subject.logit_difference)
        assert np.array_equal(found.argmax(1), expected.argmax(1))

    def test_int8_predicts_nearly_the_same_where_it_is_shipped(self, subject: Subject) -> None:
        if subject.int8:
            subject.assert_nearly_same(logits(open_session(subject.int8), subject.images), subject.images)
