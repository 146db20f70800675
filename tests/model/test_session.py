"""A network in a file answers for any number of images, and says what it takes where it is asked about others."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from conftest import bars
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.models import Classifier, Description, build
from mnist_pipeline.serving.int8 import to_int8
from mnist_pipeline.serving.onnx_export import ServedClassifier, to_bytes, to_onnx
from mnist_pipeline.serving.session import Network, open_network

ARCHITECTURE = {"activation": "relu", "pooling": "max"}
IMAGES = bars(1001, seed=4)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LeNet in float32 and in INT8, with random weights."""
    description = Description("lenet", ARCHITECTURE, [str(label) for label in range(10)], 0.1, 0.25, "x.dir")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = Classifier(build("lenet", ARCHITECTURE, 10), 0.1, 0.25)
    float32 = to_onnx(ServedClassifier(classifier), description, (28, 28), 0.0)
    path = tmp_path_factory.mktemp("networks")
    (path / "float32.onnx").write_bytes(to_bytes(float32))
    (path / "int8.onnx").write_bytes(to_bytes(to_int8(float32, IMAGES, 100)))
    return path


@pytest.fixture(params=["float32", "int8"])
def network(request: pytest.FixtureRequest, folder: Path) -> Network:
    return open_network(folder / f"{request.param}.onnx")


@pytest.mark.parametrize("count", [1, 2, 7, 1000, 1001])
def test_images_are_judged_as_each_by_itself(network: Network, count: int) -> None:
    """1,001 images are more than one batch."""
    probabilities, familiar = network.ask(IMAGES[:count])
    singly = [network.ask(image[None]) for image in IMAGES[:count]]
    assert probabilities.shape == (count, 10)
    np.testing.assert_allclose(probabilities, np.concatenate([one for one, _ in singly]), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(familiar, np.concatenate([one for _, one in singly]))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda images: images[:0], "uint8 [0, 28, 28]"),
        (lambda images: images[0], "uint8 [28, 28]"),
        (lambda images: images[:, None], "uint8 [3, 1, 28, 28]"),
        (lambda images: images[:, :27], "uint8 [3, 27, 28]"),
        (lambda images: images.reshape(3, 784), "uint8 [3, 784]"),
        (lambda images: images.astype(np.float32) / 255, "float32 [3, 28, 28]"),
        (lambda images: images.astype(np.int64), "int64 [3, 28, 28]"),
    ],
    ids=["none", "no batch", "channels", "size", "flat", "scaled", "wide"],
)
def test_other_images_are_refused_in_one_line(
    network: Network, change: Callable[[NDArray[np.uint8]], NDArray], told: str
) -> None:
    with pytest.raises(PipelineError) as refused:
        network.ask(change(IMAGES[:3]))
    assert str(refused.value) == f"lenet takes at least one image, as uint8 [N, 28, 28], not {told}"
