"""What anyone would expect of a recogniser, asked of the models that `make repro` made, on all test images."""

import onnx
import pytest

from behaviours import Behaviours, Limits, Subject
from mnist_pipeline import paths
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.files import read_json
from mnist_pipeline.models import load_classifier
from mnist_pipeline.params import load_params

PARAMS = load_params()
LIMITS = Limits(unmoved=0.99, luck=0.0, logit_difference=PARAMS.export.max_logit_difference, rounded_others=0.002)


@pytest.fixture(scope="module", params=PARAMS.models)
def subject(request: pytest.FixtureRequest) -> Subject:
    model = request.param
    classifier, _ = load_classifier(paths.weights(model))
    offered = read_json(paths.report("export", model) / "metrics.json")["int8"]["offered"]
    assert paths.int8(model).exists() == offered
    test = load_split(paths.RAW, "test")
    int8 = onnx.load(paths.int8(model)) if offered else None
    return Subject(classifier, test.images, test.labels, onnx.load(paths.onnx(model)), int8, LIMITS)


class TestBehaviour(Behaviours):
    pass
