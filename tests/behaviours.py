"""What anyone would expect of a recogniser, asked of whatever models a test module has for it."""

import itertools
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from mnist_pipeline.evaluation.predictions import predict_logits
from mnist_pipeline.models import Classifier
from mnist_pipeline.serving import session
from mnist_pipeline.serving.onnx_export import to_bytes

NOISES = (0, 40, 80, 120, 200)
"""Standard deviations in grey levels."""


@dataclass(frozen=True)
class Limits:
    """How far a model may go: the fewer images and the worse the model, the wider.

    A pixel to the side leaves at least the share `unmoved` of the predictions as they are; more noise may give at most
    `luck` more accuracy; ONNX's logits differ by at most `logit_difference`; and of INT8 and bfloat16 at most the share
    `rounded_others` of the predictions are others.
    """

    unmoved: float
    luck: float
    logit_difference: float
    rounded_others: float


@dataclass(frozen=True)
class Subject:
    """A trained model, its networks, and images that it has not seen, `uint8 [N, 28, 28]`, with their labels.

    `int8` is missing where it is not offered.
    """

    classifier: Classifier
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    float32: onnx.ModelProto
    int8: onnx.ModelProto | None
    limits: Limits

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = predict_logits(self.classifier, images, torch.device("cpu")).numpy()
        return found

    def accuracy(self, images: NDArray[np.uint8]) -> float:
        return float((self.logits(images).argmax(1) == self.labels).mean())


class Behaviours:
    """For a module's own class of tests to inherit, beside its own fixture `subject`."""

    @pytest.mark.parametrize("shift", [(0, 1), (0, -1), (1, 0), (-1, 0)], ids=str)
    def test_a_pixel_to_the_side_changes_hardly_a_prediction(self, subject: Subject, shift: tuple[int, int]) -> None:
        there = subject.logits(subject.images).argmax(1)
        beside = subject.logits(np.roll(subject.images, shift, (1, 2))).argmax(1)
        assert (there == beside).mean() >= subject.limits.unmoved

    def test_the_more_noise_the_worse(self, subject: Subject) -> None:
        noise = np.random.default_rng(5).normal(size=subject.images.shape)
        noisy = [np.clip(subject.images + strength * noise, 0, 255).astype(np.uint8) for strength in NOISES]
        found = [subject.accuracy(images) for images in noisy]
        assert all(after <= before + subject.limits.luck for before, after in itertools.pairwise(found)), found
        assert found[-1] < 0.9

    def test_the_order_of_a_batch_does_not_matter(self, subject: Subject) -> None:
        order = np.random.default_rng(1).permutation(len(subject.images))
        shuffled = subject.logits(subject.images[order])
        np.testing.assert_allclose(shuffled, subject.logits(subject.images)[order], atol=1e-4)

    @pytest.mark.parametrize("size", [1, 7, 128])
    def test_an_image_is_judged_alike_in_batches_of_any_size(self, subject: Subject, size: int) -> None:
        few = subject.images[:300]
        parts = [subject.logits(few[start : start + size]) for start in range(0, 300, size)]
        np.testing.assert_allclose(np.concatenate(parts), subject.logits(few), atol=1e-4)

    def test_gradients_do_not_change_what_it_says(self, subject: Subject) -> None:
        """Where gradients are asked for, LeNet pools in another way."""
        few = subject.images[:1000]
        watched = subject.classifier(torch.tensor(few)).detach().numpy()
        np.testing.assert_allclose(watched, subject.logits(few), atol=1e-4)

    def test_bfloat16_says_nearly_the_same(self, subject: Subject) -> None:
        """A network multiplies so while it trains with `precision: auto`."""
        few = subject.images[:1000]
        with torch.autocast("cpu", torch.bfloat16):
            found = subject.classifier(torch.tensor(few)).detach().float().numpy()
        expected = subject.logits(few)
        assert (found.argmax(1) != expected.argmax(1)).mean() <= subject.limits.rounded_others
        assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)

    def test_onnx_says_the_same(self, subject: Subject) -> None:
        found, expected = answers(subject.float32, subject.images), subject.logits(subject.images)
        np.testing.assert_allclose(found, expected, atol=subject.limits.logit_difference)
        assert np.array_equal(found.argmax(1), expected.argmax(1))

    def test_int8_says_nearly_the_same_where_it_is_offered(self, subject: Subject) -> None:
        """Its logits differ by a few hundredths of their range."""
        if subject.int8:
            found, expected = answers(subject.int8, subject.images), subject.logits(subject.images)
            assert (found.argmax(1) != expected.argmax(1)).mean() <= subject.limits.rounded_others
            assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


def answers(network: onnx.ModelProto, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return session.logits(session.open_session(to_bytes(network)), images)
