"""What anyone would expect of a recogniser, of the models that `make repro` made, on all test images."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.export.onnx_file import ServedClassifier
from mnist_pipeline.files import read_json
from mnist_pipeline.models.classifier import Classifier
from mnist_pipeline.models.weights import load_classifier
from mnist_pipeline.params import load_params
from mnist_pipeline.serving.session import logits, open_session

PARAMS = load_params()
OTHERS = 0.002
"""Share of the predictions that INT8 and bfloat16 may change."""


@dataclass(frozen=True)
class Subject:
    """A trained model, and the test images."""

    name: str
    classifier: Classifier
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return ServedClassifier(self.classifier).logits(images)

    def accuracy(self, images: NDArray[np.uint8]) -> float:
        return float((self.logits(images).argmax(1) == self.labels).mean())

    def assert_nearly_same(self, found: NDArray[np.float32], images: NDArray[np.uint8]) -> None:
        """As rounding leaves it: the logits differ by a few hundredths of their range."""
        expected = self.logits(images)
        assert (found.argmax(1) != expected.argmax(1)).mean() <= OTHERS
        assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


@pytest.fixture(scope="module", params=PARAMS.models)
def subject(request: pytest.FixtureRequest) -> Subject:
    test = load_split(paths.RAW, "test")
    return Subject(request.param, load_classifier(paths.weights(request.param))[0], test.images, test.labels)


@pytest.mark.parametrize("shift", [(0, 1), (0, -1), (1, 0), (-1, 0)], ids=str)
def test_a_pixel_to_the_side_changes_hardly_a_prediction(subject: Subject, shift: tuple[int, int]) -> None:
    there = subject.logits(subject.images).argmax(1)
    beside = subject.logits(np.roll(subject.images, shift, (1, 2))).argmax(1)
    assert (there == beside).mean() >= 0.99


def test_the_more_noise_the_worse(subject: Subject) -> None:
    noise = np.random.default_rng(5).normal(size=subject.images.shape)
    noisy = [(subject.images + strength * noise).clip(0, 255).astype(np.uint8) for strength in (0, 40, 80, 120, 200)]
    found = [subject.accuracy(images) for images in noisy]
    assert all(after <= before for before, after in itertools.pairwise(found)), found
    assert found[-1] < 0.9


def test_the_order_and_the_size_of_a_batch_do_not_matter(subject: Subject) -> None:
    expected = subject.logits(subject.images)
    order = np.random.default_rng(1).permutation(len(subject.images))
    np.testing.assert_allclose(subject.logits(subject.images[order]), expected[order], atol=1e-4)
    for size in (1, 7, 128):
        parts = [subject.logits(subject.images[start : start + size]) for start in range(0, 300, size)]
        np.testing.assert_allclose(np.concatenate(parts)[:300], expected[:300], atol=1e-4)


def test_bfloat16_predicts_nearly_the_same(subject: Subject) -> None:
    """A network multiplies so while it trains with `precision: auto`."""
    few = subject.images[:1000]
    with torch.autocast("cpu", torch.bfloat16):
        found = subject.classifier(torch.tensor(few)).detach().float().numpy()
    subject.assert_nearly_same(found, few)


def test_onnx_predicts_the_same(subject: Subject) -> None:
    session, expected = open_session(paths.onnx(subject.name).read_bytes()), subject.logits(subject.images)
    found = logits(session, subject.images)
    np.testing.assert_allclose(found, expected, atol=PARAMS.export.max_logit_difference)
    assert np.array_equal(found.argmax(1), expected.argmax(1))


def test_int8_predicts_nearly_the_same_where_it_is_shipped(subject: Subject) -> None:
    file = paths.int8(subject.name)
    assert file.exists() == read_json(paths.report("export", subject.name) / "details.json")["int8"]["shipped"]
    if file.exists():
        subject.assert_nearly_same(logits(open_session(file.read_bytes()), subject.images), subject.images)
