"""The exported networks run in the oldest onnxruntime that the documentation names, and compute the same there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import bars
from mnist_pipeline.export.int8 import to_int8
from mnist_pipeline.export.onnx_file import to_bytes
from mnist_pipeline.serving.session import OLDEST_ONNXRUNTIME, logits, open_session
from networks import exported

NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("lenet", {}),
    ("lenet", {"activation": "silu"}),
    ("lenet", {"activation": "tanh", "pooling": "average"}),
    ("mlp", {}),
    ("resnet", {}),
]
IMAGES = bars(200, seed=3)[0][..., None]
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
metadata = session.get_modelmeta().custom_metadata_map
print(json.dumps([onnxruntime.__version__, json.loads(metadata["label_names"]), shapes, refused]))
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


@pytest.mark.parametrize(("model", "options"), NETWORKS, ids=str)
def test_it_computes_the_same_there(model: str, options: dict[str, Any], python: Path, tmp_path: Path) -> None:
    float32 = exported(model, **options)[1]
    network, images, answers = (tmp_path / name for name in ("network.onnx", "images.npy", "answers.npy"))
    np.save(images, IMAGES[..., 0])
    for content in (to_bytes(float32), to_bytes(to_int8(float32, IMAGES[:100], IMAGES))):
        network.write_bytes(content)
        command = [python, "-c", THERE, network, images, answers]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        version, labels, shapes, refused = json.loads(done.stdout)
        assert labels == [str(label) for label in range(10)]
        assert shapes == [[1, 10], [1000, 10]]
        assert "Got: 27 Expected: 28" in refused
        assert version == OLDEST_ONNXRUNTIME or sys.version_info[:2] != (3, 11)
        np.testing.assert_allclose(np.load(answers), logits(open_session(content), IMAGES), rtol=0, atol=1e-4)
