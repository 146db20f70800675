"""What anyone would expect of a recogniser, whatever its weights: of both networks, trained for some seconds."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from behaviours import Behaviours, Subject
from conftest import bars
from mnist_pipeline.export.int8 import to_int8
from mnist_pipeline.export.onnx_file import ServedClassifier, to_bytes, to_onnx
from mnist_pipeline.models.classifier import Classifier
from networks import ARCHITECTURES, describe, random_classifier


def trained(model: str, images: np.ndarray, labels: np.ndarray, steps: int, shift: int = 0) -> Classifier:
    """In the plainest of loops, on batches of which each image is shifted by up to `shift` pixels."""
    classifier, random = random_classifier(describe(model)), np.random.default_rng(3)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=0.003)
    for _ in range(steps):
        part = random.permutation(len(images))[:50]
        batch = np.stack([np.roll(image, random.integers(-shift, shift + 1, 2), (0, 1)) for image in images[part]])
        optimizer.zero_grad()
        cross_entropy(classifier(torch.tensor(batch)), torch.tensor(labels[part]).long()).backward()
        optimizer.step()
    return classifier.eval()


@pytest.fixture(scope="module", params=ARCHITECTURES)
def subject(request: pytest.FixtureRequest) -> Subject:
    images, labels = bars(1500, 1)
    classifier = trained(request.param, images, labels, steps=400, shift=2)
    float32 = to_onnx(ServedClassifier(classifier), describe(request.param), (28, 28), 0.0)
    files = to_bytes(float32), to_bytes(to_int8(float32, images, 1000))
    return Subject(
        classifier, *bars(400, 7), *files, unmoved=0.95, luck=0.02, logit_difference=1e-4, rounded_others=0.01
    )


class TestBehaviour(Behaviours):
    def test_it_recognises_what_it_has_not_seen(self, subject: Subject) -> None:
        assert subject.accuracy(subject.images) > 0.95


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_it_can_learn_a_few_images_by_heart(model: str) -> None:
    """Labels at random: nothing but memory knows them."""
    images, labels = bars(32, 11)[0], np.random.default_rng(2).integers(0, 10, 32)
    found = ServedClassifier(trained(model, images, labels, steps=200)).logits(images)
    assert cross_entropy(torch.tensor(found), torch.tensor(labels)) < 0.1
