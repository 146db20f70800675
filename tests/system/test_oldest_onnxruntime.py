"""The exported networks open in the oldest onnxruntime that the documentation names, and say the same there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import bars
from mnist_pipeline.models import Classifier, Description, build
from mnist_pipeline.serving.int8 import to_int8
from mnist_pipeline.serving.onnx_export import ServedClassifier, to_bytes, to_onnx
from mnist_pipeline.serving.session import OLDEST_ONNXRUNTIME, logits, open_session

ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "lenet": ("lenet", {"activation": "relu", "pooling": "max"}),
    "lenet with SiLU": ("lenet", {"activation": "silu", "pooling": "max"}),
    "lenet otherwise": ("lenet", {"activation": "tanh", "pooling": "average"}),
    "mlp": ("mlp", {"activation": "relu", "hidden": [64, 32], "dropout": 0.0}),
}
IMAGES = bars(200, seed=3)[0]
THERE = """
import json, sys
import numpy, onnxruntime
network, images, answers = sys.argv[1:]
session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
images = numpy.load(images)
numpy.save(answers, session.run(["logits"], {"image": images})[0])
shapes = [session.run(["logits"], {"image": numpy.resize(images, (count, 28, 28))})[0].shape for count in (1, 1000)]
try:
    session.run(["logits"], {"image": images[:, 1:]})
    refused = ""
except Exception as error:
    refused = str(error)
said = session.get_modelmeta().custom_metadata_map
print(json.dumps([onnxruntime.__version__, json.loads(said["label_names"]), shapes, refused]))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the oldest onnxruntime there is for this version of Python, from the user's own index."""
    folder = tmp_path_factory.mktemp("oldest")
    there = folder / "bin/python"
    uv = Path(sys.executable).parent / "uv"
    oldest = ("--only-binary", ":all:", "--resolution", "lowest-direct", f"onnxruntime>={OLDEST_ONNXRUNTIME}")
    for command in (
        ("venv", "--quiet", "--clear", "--python", sys.executable, str(folder)),
        ("pip", "install", "--quiet", "--python", str(there), *oldest, "numpy>=1.26"),
    ):
        done = subprocess.run([uv, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return there


@pytest.fixture(scope="module", params=ARCHITECTURES)
def networks(request: pytest.FixtureRequest) -> dict[str, bytes]:
    model, architecture = ARCHITECTURES[request.param]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = Classifier(build(model, architecture, 10), 0.1, 0.25)
    description = Description(model, architecture, [str(label) for label in range(10)], 0.1, 0.25, "x.dir")
    float32 = to_onnx(ServedClassifier(classifier), description, (28, 28), 0.0)
    return {"float32": to_bytes(float32), "int8": to_bytes(to_int8(float32, IMAGES, 100))}


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_it_says_the_same_there(networks: dict[str, bytes], kind: str, python: Path, tmp_path: Path) -> None:
    network, images, answers = (tmp_path / name for name in ("network.onnx", "images.npy", "answers.npy"))
    network.write_bytes(networks[kind])
    np.save(images, IMAGES)
    done = subprocess.run([python, "-c", THERE, network, images, answers], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    version, labels, shapes, refused = json.loads(done.stdout)
    assert labels == [str(label) for label in range(10)]
    assert shapes == [[1, 10], [1000, 10]]
    assert "Got: 27 Expected: 28" in refused
    if sys.version_info[:2] == (3, 11):
        assert version == OLDEST_ONNXRUNTIME
    expected = logits(open_session(networks[kind]), IMAGES)
    np.testing.assert_allclose(np.load(answers), expected, rtol=0, atol=1e-4)
