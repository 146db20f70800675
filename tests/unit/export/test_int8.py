"""The network in INT8 takes and gives what the one in float32 does, computes nearly the same, and is shipped or not."""

import numpy as np
import onnx
import pytest
from onnx.numpy_helper import to_array
from torch import nn

from conftest import bars
from mnist_pipeline import paths
from mnist_pipeline.data.catalog import STROKES
from mnist_pipeline.data.dataset import validation_split
from mnist_pipeline.export.int8 import accuracy_difference, should_ship, to_int8
from mnist_pipeline.export.network import metadata_of
from mnist_pipeline.export.onnx_file import ServedClassifier, to_bytes, to_onnx
from mnist_pipeline.files import read_json
from mnist_pipeline.models.classifier import Classifier
from mnist_pipeline.serving.session import energy_bound, logits, open_session
from mnist_pipeline.stages import export
from networks import describe, exported

TRAIN = bars(400, seed=1)[0][..., None]
Pair = tuple[onnx.ModelProto, onnx.ModelProto]
SAME = {"won": 0, "lost": 0, "p_value": 1.0}


@pytest.fixture(scope="module", params=["lenet", "mlp"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """A network in float32 and in INT8; the perceptron has no ReLU."""
    options = {"activation": "tanh"} if request.param == "mlp" else {}
    float32 = exported(request.param, **options)[1]
    return float32, to_int8(float32, TRAIN[:300], TRAIN)


def last_layer(network: onnx.ModelProto) -> onnx.NodeProto:
    return next(node for node in reversed(network.graph.node) if node.op_type == "Gemm")


def weights(network: onnx.ModelProto, kind: int) -> dict[str, np.ndarray]:
    return {tensor.name: to_array(tensor) for tensor in network.graph.initializer if tensor.data_type == kind}


def test_it_takes_and_gives_the_same_with_its_own_energy_bound(pair: Pair) -> None:
    float32, int8 = pair
    for ends in ("input", "output"):
        assert list(getattr(int8.graph, ends)) == list(getattr(float32.graph, ends))
    assert (int8.ir_version, int8.opset_import) == (float32.ir_version, float32.opset_import)
    session, unseen = open_session(to_bytes(int8)), bars(200, seed=5)[0][..., None]
    expected, found = logits(open_session(to_bytes(float32)), unseen), logits(session, unseen)
    assert 0 < np.abs(found - expected).max() < 0.05 * np.ptp(expected)
    assert list(metadata_of(int8)) == list(metadata_of(float32))
    bound = str(energy_bound(logits(session, TRAIN)))
    assert metadata_of(int8) == metadata_of(float32) | {"energy_bound": bound}


def test_every_linear_layer_but_the_last_is_of_small_whole_numbers(pair: Pair) -> None:
    float32, int8 = pair
    before, after = ([node.op_type for node in network.graph.node] for network in pair)
    small = [array for array in weights(int8, onnx.TensorProto.INT8).values() if array.ndim == 2]
    assert len(small) == before.count("Gemm") - 1
    assert max(np.abs(array).max() for array in small) in (63, 64)  # of 127: without VNNI more would overflow
    assert last_layer(int8).input[1] in weights(int8, onnx.TensorProto.FLOAT)
    assert after.count("Conv") == before.count("Conv")
    assert len(to_bytes(int8)) < 0.45 * len(to_bytes(float32))
    joined = 2 if "Conv" in before else 0  # a ReLU after a linear layer is part of it
    assert after.count("Relu") == before.count("Relu") - joined


@pytest.mark.parametrize("layer", [nn.Conv2d(1, 10, 28), nn.Sequential(nn.Flatten(), nn.Linear(784, 10))], ids=str)
def test_a_network_in_which_nothing_can_be_quantised_is_not_shipped(layer: nn.Module) -> None:
    """However long the digits of its energy bound are, which alone make its file larger or smaller."""
    served = ServedClassifier(Classifier(nn.Sequential(layer, nn.Flatten()), 0.1, 0.25))
    float32 = to_onnx(served, describe("mlp"), STROKES, 123456.789)
    int8 = to_int8(float32, TRAIN[:10], TRAIN)
    np.testing.assert_array_equal(*(logits(open_session(to_bytes(each)), TRAIN) for each in (int8, float32)))
    assert len(to_bytes(int8)) < len(to_bytes(float32))
    assert should_ship(int8, float32, SAME, 0.05) == (False, "nothing to quantise")


@pytest.mark.parametrize(
    ("wins", "losses", "p_value", "significance", "shipped"),
    [
        (9, 0, 2 / 2**9, 0.05, True),
        (0, 5, 2 / 2**5, 0.05, True),
        (0, 5, 2 / 2**5, 0.1, False),
        (1, 6, 16 / 2**7, 0.05, True),
    ],
)
def test_it_is_shipped_unless_significantly_less_accurate(
    pair: Pair, wins: int, losses: int, p_value: float, significance: float, shipped: bool
) -> None:
    right, wrong = np.array([[1, 0]], np.float32), np.array([[0, 1]], np.float32)
    int8 = np.concatenate([right.repeat(100 - losses, 0), wrong.repeat(losses, 0)])
    float32 = np.concatenate([wrong.repeat(wins, 0), right.repeat(100 - wins, 0)])
    found = accuracy_difference(np.zeros(100, np.uint8), int8, float32, significance)
    low, high = found.pop("accuracy_difference_low"), found.pop("accuracy_difference_high")
    assert low < (wins - losses) / 100 < high
    accuracies = {"accuracy": (100 - losses) / 100, "float32_accuracy": (100 - wins) / 100}
    difference = {"accuracy_difference": (wins - losses) / 100, "won": wins, "lost": losses, "p_value": p_value}
    assert found == pytest.approx(accuracies | difference)
    assert should_ship(pair[1], pair[0], found, significance)[0] == shipped


def test_what_is_not_smaller_is_not_shipped(pair: Pair) -> None:
    larger = onnx.ModelProto.FromString(pair[1].SerializeToString())
    larger.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(10**6, np.float32), "padding"))
    assert should_ship(larger, pair[0], SAME, 0.05) == (False, "not smaller")


def test_the_validation_set_decides_and_the_test_set_is_measured(workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """INT8 does the opposite: all wrong by the labels that the validation set gets, and right on the test set."""
    calibrated: list[np.ndarray] = []
    sets: list[int] = []

    def opposite(network: onnx.ModelProto, calibration: np.ndarray, images: np.ndarray) -> onnx.ModelProto:
        calibrated.append(calibration)
        changed = to_int8(network, calibration, images)
        (alpha,) = (attribute for attribute in last_layer(changed).attribute if attribute.name == "alpha")
        alpha.f = -1
        return changed

    def compare(labels: np.ndarray, int8: np.ndarray, float32: np.ndarray, significance: float) -> dict[str, float]:
        sets.append(len(labels))
        right = float32 if len(labels) == 100 else int8
        return accuracy_difference(right.argmax(1).astype(np.uint8), int8, float32, significance)

    monkeypatch.setattr(export, "to_int8", opposite)
    monkeypatch.setattr(export, "accuracy_difference", compare)
    paths.int8("mlp").parent.mkdir()
    paths.int8("mlp").write_bytes(b"of older weights")
    export.run(workplace.params, "mlp")
    found = read_json(paths.report("export", "mlp") / "details.json")["int8"]
    assert (found["shipped"], found["reason"]) == (False, "significantly less accurate")
    assert list(paths.int8("mlp").parent.iterdir()) == []  # DVC expects the folder
    assert paths.onnx("mlp").exists()
    assert sets == [100, 200]
    assert (found["validation"]["float32_accuracy"], found["test"]["accuracy"]) == (1, 1)
    images, labels = bars(400, 1)
    trained, _ = validation_split(labels, workplace.params.train.validation_share, workplace.params.train.seed)
    assert {image.tobytes() for image in calibrated[0]} == {image.tobytes() for image in images[trained]}
