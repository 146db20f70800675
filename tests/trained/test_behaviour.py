"""What anyone would expect of a recogniser, of the models that `make repro` made, on all test images."""

import pytest

from behaviours import Behaviours, Subject
from mnist_pipeline import paths
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.files import read_json
from mnist_pipeline.models.weights import load_classifier
from mnist_pipeline.params import load_params

PARAMS = load_params()


@pytest.fixture(scope="module", params=PARAMS.models)
def subject(request: pytest.FixtureRequest) -> Subject:
    model, test = request.param, load_split(paths.RAW, "test")
    shipped = read_json(paths.report("export", model) / "details.json")["int8"]["shipped"]
    assert paths.int8(model).exists() == shipped
    files = paths.onnx(model).read_bytes(), paths.int8(model).read_bytes() if shipped else None
    limits = (0.99, 0.0, PARAMS.export.max_logit_difference, 0.002)
    return Subject(load_classifier(paths.weights(model))[0], test.images, test.labels, *files, *limits)


class TestBehaviour(Behaviours):
    pass
