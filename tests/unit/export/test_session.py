"""A network in a file classifies any number of images, and files and images that are none of its own are refused."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from conftest import bars
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.export.int8 import to_int8
from mnist_pipeline.export.onnx_file import to_bytes
from mnist_pipeline.serving.session import energy, energy_bound, open_network
from networks import exported

ROOT = Path(__file__).parents[3]
IMAGES = bars(1001, seed=4)[0][..., None]


@pytest.mark.parametrize("to_file", [to_bytes, lambda network: to_bytes(to_int8(network, IMAGES[:100], IMAGES))])
def test_images_are_classified_as_each_by_itself(to_file: Callable[[onnx.ModelProto], bytes], tmp_path: Path) -> None:
    """1,001 images are more than one batch; the bound lies amid their energies."""
    (tmp_path / "model.onnx").write_bytes(to_file(exported("mlp", energy_bound=-2.31)[1]))
    network = open_network(tmp_path / "model.onnx")
    probabilities, unlike = network.classify(IMAGES)
    singly = [network.classify(image[None]) for image in IMAGES]
    assert probabilities.shape == (1001, 10)
    np.testing.assert_allclose(probabilities, np.concatenate([one for one, _ in singly]), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(unlike, np.concatenate([one for _, one in singly]))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert 0 < unlike.mean() < 1


def test_the_bound_on_the_energy_leaves_out_a_small_share_of_the_training_images() -> None:
    """The energy is minus the logarithm of the sum of the exponentials."""
    assert energy(np.log(np.array([[1, 2, 3], [10, 20, 30]], np.float32))) == pytest.approx(-np.log([6, 60]))
    assert energy(np.full((1, 2), 1000, np.float32)) == pytest.approx(-1000 - np.log(2))
    logits = np.random.default_rng(1).normal(scale=10, size=(3000, 3)).astype(np.float32)
    assert (energy(logits) > energy_bound(logits)).mean() == pytest.approx(0.005, abs=0.001)


def tiny(
    shape: Sequence[int | str] = ("batch", 3, 3),
    kind: int = TensorProto.UINT8,
    names: tuple[str, str, str] = ("image", "logits", "probabilities"),
    weight: float = 0.5,
    **metadata: str | None,
) -> bytes:
    """An ONNX file like ours, of two classes, for images of 3 by 3; metadata of None is left out."""
    image, logits, probabilities = names
    nodes = [
        helper.make_node("Cast", [image], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], [logits]),
        helper.make_node("Softmax", [logits], [probabilities]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in names[1:]]
    constants = {"weights": np.full((1, 2), weight, np.float32), "axes": np.array([-2, -1])}
    stored = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(image, kind, shape)], outputs, stored)
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    texts = {"model": "tiny", "label_names": '["0", "1"]', "energy_bound": "2.5"} | metadata
    helper.set_model_props(network, {name: text for name, text in texts.items() if text is not None})
    return network.SerializeToString()


@pytest.mark.parametrize(("bound", "warned"), [("0.0", False), ("1000.0", True)])
def test_files_of_earlier_versions_are_read(tmp_path: Path, bound: str, warned: bool) -> None:
    """Their bound is the greatest energy with its sign turned."""
    (tmp_path / "old.onnx").write_bytes(tiny(energy_bound=None, least_familiarity=bound))
    network = open_network(tmp_path / "old.onnx")
    assert network.metadata.label_names == ["0", "1"]
    assert network.metadata.picture["preparation"] == "mnist"
    assert network.classify(np.ones((1, 3, 3, 1), np.uint8))[1].tolist() == [warned]


FILES: dict[str, bytes | Callable[[Path], object]] = {
    "fifo": os.mkfifo,
    "text": b"no network",
    "cut off": tiny()[:-300],
    **{f"label_names {names}": tiny(label_names=names) for names in (None, "null", "3", '["0"]', "[0, 1]", "[")},
    "no bound": tiny(energy_bound=None),
    "bound of no number": tiny(energy_bound="nan"),
    "no logits": tiny(names=("image", "scores", "probabilities")),
    "float input": tiny(kind=TensorProto.FLOAT),
    "rank 5": tiny(shape=("batch", 1, 3, 3, 1)),
    "any size": tiny(shape=("batch", "height", 3)),
    "vast images": tiny(shape=("batch", 2**13, 2**13)),
    "not finite": tiny(weight=np.nan),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_another_kind_ends_in_one_line(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, made = tmp_path / "model.onnx", FILES[kind]
    path.write_bytes(made) if isinstance(made, bytes) else made(path)
    with pytest.raises(PipelineError) as refused:
        open_network(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shape", [(0, 3, 3, 1), (3, 3), (2, 3, 3), (2, 3, 3, 3), (2, 2, 3, 1), "float"], ids=str)
def test_other_images_are_refused(shape: Any, tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(tiny())
    images = np.zeros((2, 3, 3, 1), np.float32) if shape == "float" else np.zeros(shape, np.uint8)
    with pytest.raises(PipelineError, match=rf"tiny: .*uint8 \[N, 3, 3, 1\], not {images.dtype}"):
        open_network(tmp_path / "tiny.onnx").classify(images)


def test_a_prediction_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    """Nor does a process that uses these modules without the command."""
    home = tmp_path / "home"
    home.mkdir()
    Image.fromarray(IMAGES[0, ..., 0]).save(tmp_path / "größe.png")
    (tmp_path / "model.onnx").write_bytes(to_bytes(exported("mlp")[1]))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    environment = {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "ascii"}
    for command in (
        ("-m", "mnist_pipeline", "predict", "--model", "model.onnx", "größe.png"),
        ("-c", "from mnist_pipeline.export.int8 import open_session; open_session(open('model.onnx', 'rb').read())"),
    ):
        done = subprocess.run(
            [sys.executable, *command], env=environment, cwd=tmp_path, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")
        if "predict" in command:
            assert done.stdout.startswith(b"gr??e.png")
    assert list(home.rglob("*")) == []
