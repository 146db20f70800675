"""What anyone would expect of a recogniser, whatever its weights: asked of both networks, trained for some seconds."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from behaviours import Behaviours, Limits, Subject, answers
from conftest import bars
from mnist_pipeline.data.augment import random_distortion
from mnist_pipeline.devices import make_deterministic
from mnist_pipeline.models import Classifier, Description, build
from mnist_pipeline.serving.int8 import to_int8
from mnist_pipeline.serving.onnx_export import ServedClassifier, to_onnx
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
LIMITS = Limits(unmoved=0.95, luck=0.02, logit_difference=1e-4, rounded_others=0.01)


def examples(count: int, seed: int) -> Examples:
    images, labels = bars(count, seed)
    return Examples(torch.tensor(images), torch.tensor(labels).long())


def built(model: str) -> Classifier:
    make_deterministic(3)
    return Classifier(build(model, ARCHITECTURES[model], 10), 0.1, 0.25)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def subject(request: pytest.FixtureRequest) -> Subject:
    model, train = request.param, examples(1500, 1)
    classifier = built(model)
    list(fit(classifier, train, examples(100, 2), RECIPE, 3, lambda amount: None))
    description = Description(model, ARCHITECTURES[model], [str(label) for label in range(10)], 0.1, 0.25, "x.dir")
    float32 = to_onnx(ServedClassifier(classifier.eval()), description, (28, 28), 0.0)
    return Subject(classifier, *bars(400, 7), float32, to_int8(float32, train.images.numpy(), 1000), LIMITS)


class TestBehaviour(Behaviours):
    def test_it_recognises_what_it_has_not_seen(self, subject: Subject) -> None:
        assert subject.accuracy(subject.images) > 0.95
        assert subject.int8
        assert (answers(subject.int8, subject.images).argmax(1) == subject.labels).mean() > 0.95


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_it_can_learn_a_few_images_by_heart(model: str) -> None:
    """Labels at random: nothing but memory can tell them."""
    few = Examples(examples(32, 11).images, torch.randint(0, 10, (32,), generator=torch.Generator().manual_seed(2)))
    classifier = built(model)
    recipe = replace(PLAIN, epochs=200, batch_size=32, learning_rate=0.005, weight_decay=0.0, ema_decay=0.0)
    *_, last = fit(classifier, few, few, recipe, 3, lambda amount: None)
    assert last.validation_accuracy == 1
    assert last.validation_loss < 0.1
