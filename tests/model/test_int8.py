"""The network in INT8 takes and says what the one in float32 does, and nearly computes the same."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.numpy_helper import to_array
from torch import Tensor, nn

from conftest import bars
from mnist_pipeline import paths
from mnist_pipeline.data.dataset import stratified_split
from mnist_pipeline.evaluation.offer import Cost, cost
from mnist_pipeline.files import read_json
from mnist_pipeline.models import Classifier, Description, build
from mnist_pipeline.serving.int8 import to_int8
from mnist_pipeline.serving.novelty import least_familiarity
from mnist_pipeline.serving.onnx_export import ServedClassifier, to_bytes, to_onnx
from mnist_pipeline.serving.session import logits, open_session
from mnist_pipeline.stages import export

ROOT = Path(__file__).parents[2]
TRAIN = bars(400, seed=1)[0]
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "lenet": {"activation": "relu", "pooling": "max"},
    "mlp": {"activation": "tanh", "hidden": [64, 32], "dropout": 0.0},
}
IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
import numpy, onnx
from mnist_pipeline.serving.int8 import to_int8
from mnist_pipeline.serving.onnx_export import to_bytes
network, images = onnx.load(sys.argv[1]), numpy.load(sys.argv[2])
sys.stdout.buffer.write(to_bytes(to_int8(network, images, 300)))
"""


def exported(classifier: nn.Module) -> onnx.ModelProto:
    description = Description("any", {}, ["zero", "café"], 0.1, 0.25, "abc.dir")
    return to_onnx(ServedClassifier(classifier), description, (28, 28), 2.5)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def pair(request: pytest.FixtureRequest) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """A network in float32 and in INT8."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(request.param, ARCHITECTURES[request.param], 10)
    float32 = exported(Classifier(network, 0.1, 0.25))
    return float32, to_int8(float32, TRAIN, 300)


def kinds(network: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in network.graph.node]


def weights(network: onnx.ModelProto, kind: int) -> dict[str, np.ndarray]:
    return {tensor.name: to_array(tensor) for tensor in network.graph.initializer if tensor.data_type == kind}


def test_it_takes_and_gives_the_same(pair: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    float32, int8 = pair
    for ends in ("input", "output"):
        assert list(getattr(int8.graph, ends)) == list(getattr(float32.graph, ends))
    assert (int8.ir_version, int8.opset_import) == (float32.ir_version, float32.opset_import)
    onnx.checker.check_model(int8, full_check=True)


def test_its_logits_are_near_those_of_float32(pair: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    unseen = bars(200, seed=5)[0]
    expected, found = (logits(open_session(to_bytes(network)), unseen) for network in pair)
    assert 0 < np.abs(found - expected).max() < 0.05 * np.ptp(expected)


def test_every_linear_layer_but_the_last_is_of_small_whole_numbers(
    pair: tuple[onnx.ModelProto, onnx.ModelProto],
) -> None:
    float32, int8 = pair
    linear = kinds(float32).count("Gemm")
    small = [array for array in weights(int8, onnx.TensorProto.INT8).values() if array.ndim == 2]
    assert len(small) == linear - 1
    assert max(np.abs(array).max() for array in small) in (63, 64)  # of 127: without VNNI more would overflow
    last = next(node for node in reversed(int8.graph.node) if node.op_type == "Gemm")
    assert last.input[1] in weights(int8, onnx.TensorProto.FLOAT)
    assert kinds(int8).count("Conv") == kinds(float32).count("Conv")
    assert len(to_bytes(int8)) < 0.45 * len(to_bytes(float32))


def test_a_relu_after_a_linear_layer_is_part_of_it(pair: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    float32, int8 = pair
    joined = 2 if "Conv" in kinds(float32) else 0  # the other network has tanh
    assert kinds(int8).count("Relu") == kinds(float32).count("Relu") - joined


def test_it_says_the_same_but_for_what_it_takes_for_familiar(pair: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    said = [[(entry.key, entry.value) for entry in network.metadata_props] for network in pair]
    assert [key for key, _ in said[1]] == [key for key, _ in said[0]] == sorted(key for key, _ in said[0])
    assert {entry[0] for entry in set(said[0]) ^ set(said[1])} == {"least_familiarity"}
    own = least_familiarity(logits(open_session(to_bytes(pair[1])), TRAIN))
    assert float(dict(said[1])["least_familiarity"]) == own


def test_the_float32_network_is_left_as_it_was(pair: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    before = to_bytes(pair[0])
    to_int8(pair[0], TRAIN, 300)
    assert to_bytes(pair[0]) == before


def test_another_process_writes_the_same_bytes(pair: tuple[onnx.ModelProto, onnx.ModelProto], tmp_path: Path) -> None:
    network, images = tmp_path / "network.onnx", tmp_path / "images.npy"
    network.write_bytes(to_bytes(pair[0]))
    np.save(images, TRAIN)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IN_ANOTHER_PROCESS, str(network), str(images)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": "7"},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    assert done.stdout == to_bytes(pair[1])
    for trace in (tmp_path, Path.home(), "onnxruntime"):
        assert str(trace).encode() not in done.stdout


class Pooled(nn.Module):
    """Has no linear layer at all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 10, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image).mean((2, 3))


@pytest.mark.parametrize("network", [Pooled(), nn.Sequential(nn.Flatten(), nn.Linear(784, 10))], ids=["none", "one"])
def test_without_linear_layers_but_the_last_it_is_what_it_was(network: nn.Module) -> None:
    float32 = exported(Classifier(network, 0.1, 0.25))
    int8 = to_int8(float32, TRAIN, 300)
    assert kinds(int8) == kinds(float32)
    answers = [logits(open_session(to_bytes(one)), TRAIN) for one in (float32, int8)]
    np.testing.assert_array_equal(*answers)


def test_the_stage_writes_it_where_it_is_offered(workplace) -> None:
    export.run(workplace.params, "lenet")
    found = read_json(paths.report("export", "lenet") / "metrics.json")["int8"]
    assert found["offered"]
    assert found["size_bytes"] == paths.int8("lenet").stat().st_size < paths.onnx("lenet").stat().st_size
    assert found["accuracy_difference_low"] <= found["accuracy"] - found["float32_accuracy"]
    assert 0 < found["mean_logit_difference"] < found["max_logit_difference"]
    said = open_session(paths.int8("lenet").read_bytes()).get_modelmeta().custom_metadata_map
    assert json.loads(said["label_names"]) == [str(label) for label in range(10)]


def test_what_is_not_smaller_is_not_written(workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what older weights left goes; the folder stays, as an output that DVC expects."""
    monkeypatch.setattr(export, "to_int8", lambda network, *rest: network)
    paths.int8("mlp").parent.mkdir()
    paths.int8("mlp").write_bytes(b"of older weights")
    export.run(workplace.params, "mlp")
    found = read_json(paths.report("export", "mlp") / "metrics.json")["int8"]
    assert (found["offered"], found["reason"]) == (False, "not smaller")
    assert list(paths.int8("mlp").parent.iterdir()) == []
    assert paths.onnx("mlp").exists()


def test_what_is_significantly_less_accurate_is_not_written(
    workplace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Asked of a network that does the opposite of what it was made from, with the labels that the first one says."""

    def opposite(network: onnx.ModelProto, *_: Any) -> onnx.ModelProto:
        changed = to_int8(network, TRAIN, 10)
        last = next(node for node in reversed(changed.graph.node) if node.op_type == "Gemm")
        (alpha,) = [attribute for attribute in last.attribute if attribute.name == "alpha"]
        alpha.f = -1
        return changed

    monkeypatch.setattr(export, "to_int8", opposite)
    monkeypatch.setattr(export, "cost", lambda labels, int8, float32, *rest: cost(float32, int8, float32, *rest))
    export.run(workplace.params, "mlp")
    found = read_json(paths.report("export", "mlp") / "metrics.json")["int8"]
    assert (found["offered"], found["reason"]) == (False, "significantly less accurate")
    assert list(paths.int8("mlp").parent.iterdir()) == []
    assert "INT8 is not offered: significantly less accurate: " in capfd.readouterr().err


def test_the_held_out_images_choose_and_the_test_images_only_tell(workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def watched(labels: np.ndarray, *predictions: Any) -> Cost:
        asked.append(len(labels))
        found = cost(labels, *predictions)
        return replace(found, lost=50, p_value=0.001) if len(labels) == 100 else found

    monkeypatch.setattr(export, "cost", watched)
    export.run(workplace.params, "mlp")
    found = read_json(paths.report("export", "mlp") / "metrics.json")["int8"]
    assert asked == [workplace.params.train.validation_size, 200]
    assert (found["offered"], found["reason"]) == (False, "significantly less accurate")
    assert (found["held_out"]["lost"], found["lost"]) == (50, 0)


def test_calibration_sees_training_images_alone(workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def watched(network: onnx.ModelProto, images: np.ndarray, count: int) -> onnx.ModelProto:
        seen.append(images)
        return to_int8(network, images, count)

    monkeypatch.setattr(export, "to_int8", watched)
    export.run(workplace.params, "mlp")
    (images,) = seen
    train, labels = bars(400, 1)
    kept, _ = stratified_split(labels, workplace.params.train.validation_size, workplace.params.train.seed)
    np.testing.assert_array_equal(images, train[kept])
