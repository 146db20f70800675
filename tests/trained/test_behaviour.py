"""What anyone would expect of a recogniser, asked of the models that `make repro` made, on all test images.

`tests/model/test_behaviour.py` asks the same of small ones, which are trained for it.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import Split, load_split
from mnist_pipeline.evaluation.predictions import predict_logits
from mnist_pipeline.files import read_json
from mnist_pipeline.models import Classifier, load_classifier
from mnist_pipeline.params import load_params
from mnist_pipeline.serving.session import logits, open_session

CPU = torch.device("cpu")
NOISES = (0, 40, 80, 120, 200)
"""Standard deviations in grey levels."""


@dataclass(frozen=True)
class Trained:
    name: str
    classifier: Classifier
    answers: NDArray[np.float32]
    """To the test images."""

    def labels(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = predict_logits(self.classifier, images, CPU).numpy().argmax(1)
        return found


def answers(network: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return logits(open_session(network.read_bytes()), images)


@pytest.fixture(scope="module")
def test() -> Split:
    return load_split(paths.RAW, "test")


@pytest.fixture(scope="module", params=load_params().models)
def trained(request: pytest.FixtureRequest, test: Split) -> Trained:
    classifier, _ = load_classifier(paths.weights(request.param))
    return Trained(request.param, classifier, predict_logits(classifier, test.images, CPU).numpy())


@pytest.mark.parametrize("shift", [(0, 1), (0, -1), (1, 0), (-1, 0)], ids=str)
def test_a_pixel_to_the_side_changes_hardly_a_prediction(trained: Trained, test: Split, shift: tuple[int, int]) -> None:
    beside = trained.labels(np.roll(test.images, shift, (1, 2)))
    assert (trained.answers.argmax(1) == beside).mean() >= 0.99


def test_the_more_noise_the_worse(trained: Trained, test: Split) -> None:
    noise = np.random.default_rng(5).normal(size=test.images.shape)
    found = []
    for strength in NOISES:
        noisy = np.clip(test.images + strength * noise, 0, 255).astype(np.uint8)
        found.append((trained.labels(noisy) == test.labels).mean())
    assert all(after <= before for before, after in itertools.pairwise(found)), found
    assert found[-1] < 0.9


def test_the_order_of_a_batch_does_not_matter(trained: Trained, test: Split) -> None:
    order = np.random.default_rng(1).permutation(len(test))
    shuffled = predict_logits(trained.classifier, test.images[order], CPU).numpy()
    np.testing.assert_allclose(shuffled, trained.answers[order], atol=1e-4)


@pytest.mark.parametrize("size", [1, 7, 128])
def test_an_image_is_judged_alike_in_batches_of_any_size(trained: Trained, test: Split, size: int) -> None:
    few = test.images[:300]
    parts = [predict_logits(trained.classifier, few[start : start + size], CPU) for start in range(0, 300, size)]
    np.testing.assert_allclose(np.concatenate(parts), trained.answers[:300], atol=1e-4)


def test_gradients_do_not_change_what_it_says(trained: Trained, test: Split) -> None:
    """Where they are asked for, LeNet pools in another way."""
    watched = trained.classifier(torch.tensor(test.images[:1000])).detach().numpy()
    np.testing.assert_allclose(watched, trained.answers[:1000], atol=1e-4)


def test_onnx_says_the_same(trained: Trained, test: Split) -> None:
    found = answers(paths.onnx(trained.name), test.images)
    np.testing.assert_allclose(found, trained.answers, atol=load_params().export.max_logit_difference)
    assert np.array_equal(found.argmax(1), trained.answers.argmax(1))


def test_int8_says_nearly_the_same_where_it_is_offered(trained: Trained, test: Split) -> None:
    """At most two predictions in a thousand are others, and logits differ by a few hundredths of their range."""
    path = paths.int8(trained.name)
    assert path.exists() == read_json(paths.report("export", trained.name) / "metrics.json")["int8"]["offered"]
    if path.exists():
        found = answers(path, test.images)
        assert (found.argmax(1) != trained.answers.argmax(1)).mean() <= 0.002
        assert np.abs(found - trained.answers).max() < 0.05 * np.ptp(trained.answers)
