"""What anyone would expect of a recogniser, whatever its weights: asked of both networks, trained for some seconds."""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from conftest import bars
from mnist_pipeline.data.augment import random_distortion
from mnist_pipeline.devices import make_deterministic
from mnist_pipeline.models import Classifier, Description, build
from mnist_pipeline.serving import session
from mnist_pipeline.serving.int8 import to_int8
from mnist_pipeline.serving.onnx_export import ServedClassifier, to_bytes, to_onnx
from mnist_pipeline.training.loop import Examples, fit
from recipes import PLAIN

ARCHITECTURES = {
    "lenet": {"activation": "relu", "pooling": "max"},
    "mlp": {"activation": "relu", "hidden": [128], "dropout": 0.0},
}
RECIPE = replace(
    PLAIN,
    epochs=12,
    batch_size=50,
    learning_rate=0.003,
    ema_decay=0.9,
    augment=partial(random_distortion, rotation=0, scale=0.05, shear=0, translation=2, elastic=0),
)
NOISES = (0, 40, 80, 120, 200)
"""Standard deviations in grey levels."""


def examples(count: int, seed: int) -> Examples:
    images, labels = bars(count, seed)
    return Examples(torch.tensor(images), torch.tensor(labels).long())


def built(model: str) -> Classifier:
    make_deterministic(3)
    return Classifier(build(model, ARCHITECTURES[model], 10), 0.1, 0.25)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def trained(request: pytest.FixtureRequest) -> tuple[str, Classifier]:
    classifier = built(request.param)
    list(fit(classifier, examples(1500, 1), examples(100, 2), RECIPE, 3, lambda amount: None))
    return request.param, classifier.eval()


@pytest.fixture(scope="module")
def unseen() -> Examples:
    return examples(400, 7)


@torch.inference_mode()
def logits(classifier: Classifier, images: Tensor) -> NDArray[np.float32]:
    result: NDArray[np.float32] = classifier(images).numpy()
    return result


def accuracy(classifier: Classifier, images: Tensor, labels: Tensor) -> float:
    return float((logits(classifier, images).argmax(1) == labels.numpy()).mean())


def test_it_recognises_what_it_has_not_seen(trained: tuple[str, Classifier], unseen: Examples) -> None:
    assert accuracy(trained[1], unseen.images, unseen.labels) > 0.95


@pytest.mark.parametrize("shift", [(0, 1), (0, -1), (1, 0), (-1, 0)], ids=str)
def test_a_pixel_to_the_side_changes_hardly_a_prediction(
    trained: tuple[str, Classifier], unseen: Examples, shift: tuple[int, int]
) -> None:
    there = logits(trained[1], unseen.images).argmax(1)
    beside = logits(trained[1], unseen.images.roll(shift, (1, 2))).argmax(1)
    assert (there == beside).mean() > 0.95


def test_the_more_noise_the_worse(trained: tuple[str, Classifier], unseen: Examples) -> None:
    random = torch.Generator().manual_seed(5)
    noise = torch.randn(unseen.images.shape, generator=random)
    noisy = [(unseen.images + strength * noise).clamp(0, 255).to(torch.uint8) for strength in NOISES]
    found = [accuracy(trained[1], images, unseen.labels) for images in noisy]
    assert all(after <= before + 0.02 for before, after in itertools.pairwise(found)), found
    assert found[-1] < found[0] - 0.1


def test_the_order_of_a_batch_does_not_matter(trained: tuple[str, Classifier], unseen: Examples) -> None:
    order = torch.randperm(len(unseen), generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(
        logits(trained[1], unseen.images[order]), logits(trained[1], unseen.images)[order], atol=1e-4
    )


@pytest.mark.parametrize("size", [1, 7, 128])
def test_an_image_is_judged_alike_in_batches_of_any_size(
    trained: tuple[str, Classifier], unseen: Examples, size: int
) -> None:
    parts = np.concatenate([logits(trained[1], part) for part in unseen.images.split(size)])
    np.testing.assert_allclose(parts, logits(trained[1], unseen.images), atol=1e-4)


def test_gradients_do_not_change_what_it_says(trained: tuple[str, Classifier], unseen: Examples) -> None:
    """In training LeNet pools in another way."""
    classifier = trained[1].train()
    watched = classifier(unseen.images).detach().numpy()
    np.testing.assert_allclose(watched, logits(classifier.eval(), unseen.images), atol=1e-4)


@pytest.fixture(scope="module")
def networks(trained: tuple[str, Classifier]) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The trained network as ONNX, in float32 and in INT8."""
    model, classifier = trained
    description = Description(model, ARCHITECTURES[model], [str(label) for label in range(10)], 0.1, 0.25, "x.dir")
    float32 = to_onnx(ServedClassifier(classifier), description, (28, 28), 0.0)
    return float32, to_int8(float32, examples(1500, 1).images.numpy(), 1000)


def answers(network: onnx.ModelProto, images: Tensor) -> NDArray[np.float32]:
    return session.logits(session.open_session(to_bytes(network)), images.numpy())


def test_onnx_says_the_same(
    trained: tuple[str, Classifier], networks: tuple[onnx.ModelProto, onnx.ModelProto], unseen: Examples
) -> None:
    found, expected = answers(networks[0], unseen.images), logits(trained[1], unseen.images)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.array_equal(found.argmax(1), expected.argmax(1))


def test_int8_says_nearly_the_same(
    trained: tuple[str, Classifier], networks: tuple[onnx.ModelProto, onnx.ModelProto], unseen: Examples
) -> None:
    """At most one prediction in a hundred is another, and logits differ by a few hundredths of their range."""
    found, expected = answers(networks[1], unseen.images), logits(trained[1], unseen.images)
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)
    assert (found.argmax(1) != expected.argmax(1)).mean() <= 0.01
    assert (found.argmax(1) == unseen.labels.numpy()).mean() > 0.95


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_it_can_learn_a_few_images_by_heart(model: str) -> None:
    """Labels at random: nothing but memory can tell them."""
    few = Examples(examples(32, 11).images, torch.randint(0, 10, (32,), generator=torch.Generator().manual_seed(2)))
    classifier = built(model)
    recipe = replace(PLAIN, epochs=200, batch_size=32, learning_rate=0.005, weight_decay=0.0, ema_decay=0.0)
    *_, last = fit(classifier, few, few, recipe, 3, lambda amount: None)
    assert last.validation_accuracy == 1
    assert last.validation_loss < 0.1
