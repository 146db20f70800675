"""The ONNX file computes what the trained network computes, is the same bytes each time, and else is not written."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.numpy_helper import from_array, to_array

from conftest import bars
from mnist_pipeline import paths
from mnist_pipeline.data.catalog import STROKES
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.export import latency
from mnist_pipeline.export.network import file_metadata, metadata_of
from mnist_pipeline.export.onnx_file import ServedClassifier, to_bytes, to_onnx
from mnist_pipeline.files import read_json
from mnist_pipeline.serving.session import logits, open_session
from mnist_pipeline.stages import export
from networks import ARCHITECTURES, exported

ROOT = Path(__file__).parents[3]
Exported = tuple[ServedClassifier, onnx.ModelProto]


@pytest.fixture(scope="module")
def mlp() -> Exported:
    return exported("mlp")


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("lenet", {"activation": "silu"}),
        ("lenet", {"activation": "tanh", "pooling": "average"}),
        ("mlp", {"activation": "sigmoid", "hidden": []}),
        ("mlp", {"dropout": 0.5}),
    ],
    ids=str,
)
def test_any_batch_gives_the_logits_and_probabilities_of_pytorch(model: str, options: dict[str, Any]) -> None:
    served, network = exported(model, **options)
    content = to_bytes(network)
    for batch in (1, 7, 300):
        images = bars(batch, seed=1)[0]
        outputs = open_session(content).run(["logits", "probabilities"], {"image": images})
        with torch.inference_mode():
            expected = [output.numpy() for output in served(torch.tensor(images))]
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(outputs[1].sum(1), np.ones(batch), atol=1e-6)
    for trace in (str(ROOT), str(Path.home()), "site-packages", "stack_trace", "pkg.torch", torch.__version__):
        assert trace.encode() not in content


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_images_in_colour_give_the_logits_of_pytorch(model: str) -> None:
    """Their input has channels; any batch may come, and an image by itself."""
    served, network = exported(model, shape=(16, 20, 3))
    session = open_session(to_bytes(network))
    assert session.get_inputs()[0].shape == ["batch", 16, 20, 3]
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 20, 3), dtype=np.uint8)
    for batch in (images, images[:1]):
        np.testing.assert_allclose(logits(session, batch), served.logits(batch), rtol=0, atol=1e-5)


def test_inputs_outputs_metadata_and_format(mlp: Exported, tmp_path: Path) -> None:
    """`tests/system` runs it in the oldest onnxruntime, which reads no newer format."""
    network = mlp[1]
    session = open_session(to_bytes(network))
    assert [(each.name, each.type, each.shape) for each in (*session.get_inputs(), *session.get_outputs())] == [
        ("image", "tensor(uint8)", ["batch", 28, 28]),
        ("logits", "tensor(float)", ["batch", 10]),
        ("probabilities", "tensor(float)", ["batch", 10]),
    ]
    assert [(entry.domain, entry.version) for entry in network.opset_import] == [("", 18)]
    assert network.ir_version == 8
    metadata = metadata_of(network)
    assert list(metadata) == ["data_md5", "energy_bound", "label_names", "model", "picture", "preprocessing"]
    assert (metadata["model"], metadata["energy_bound"]) == ("mlp", "2.5")
    assert json.loads(metadata["label_names"]) == [str(label) for label in range(10)]
    assert json.loads(metadata["picture"]) == STROKES
    (tmp_path / "model.onnx").write_bytes(to_bytes(network))
    assert file_metadata(tmp_path / "model.onnx") == metadata
    for trace in (ROOT, Path.home(), "onnxruntime"):
        assert str(trace).encode() not in (tmp_path / "model.onnx").read_bytes()


def test_metadata_of_other_files(workplace, tmp_path: Path) -> None:
    description = file_metadata(paths.weights("mlp"))
    assert (description["model"], description["mean"]) == ("mlp", "0.13")
    for name in ("broken.onnx", "broken.safetensors", "notes.txt"):
        (tmp_path / name).write_bytes(b"\xffno network")
        assert file_metadata(tmp_path / name) == {}
    os.mkfifo(tmp_path / "pipe.onnx")
    assert file_metadata(tmp_path / "pipe.onnx") == {}


def test_the_stage_writes_and_publishes_its_results(workplace, capfd: pytest.CaptureFixture[str]) -> None:
    export.run(workplace.params, "lenet")
    metrics = read_json(paths.report("export", "lenet") / "metrics.json")
    details = read_json(paths.report("export", "lenet") / "details.json")
    onnx.checker.check_model(onnx.load(paths.onnx("lenet")), full_check=True)
    assert metrics.keys() == {"max_logit_difference", "size_bytes", "int8_accuracy_difference", "int8_size_ratio"}
    assert metrics["size_bytes"] == paths.onnx("lenet").stat().st_size
    assert 0 < details["mean_logit_difference"] < details["max_logit_difference"] == metrics["max_logit_difference"]
    assert (details["images"], details["differing_predictions"], details["opset"]) == (200, 0, 18)
    int8 = details["int8"]
    assert int8["shipped"]
    assert int8["size_bytes"] == paths.int8("lenet").stat().st_size
    assert int8["size_bytes"] / metrics["size_bytes"] == metrics["int8_size_ratio"] < 0.45
    assert int8["test"]["accuracy_difference"] == metrics["int8_accuracy_difference"]
    assert file_metadata(paths.int8("lenet"))["label_names"] == file_metadata(paths.onnx("lenet"))["label_names"]
    ((stage, model, measured),) = workplace.published
    assert (stage, model) == ("export", "lenet")
    assert {"latency_ms", "latency_ratio", "int8_latency_ratio", "latency_ms_batch_256"} < measured.keys()
    printed = capfd.readouterr()
    assert (printed.out, len(printed.err.splitlines())) == ("", 2)

    outputs = (paths.onnx("lenet"), paths.int8("lenet"), *paths.report("export", "lenet").iterdir())
    first = [path.read_bytes() for path in outputs]
    export.run(workplace.params, "lenet")
    assert [path.read_bytes() for path in outputs] == first


def shifted(network: onnx.ModelProto, by: float) -> onnx.ModelProto:
    """Change one bias of its last layer."""
    (bias,) = (tensor for tensor in network.graph.initializer if tensor.name == network.graph.node[-2].input[2])
    bias.CopyFrom(from_array(to_array(bias) + by * np.eye(10, dtype=np.float32)[3], bias.name))
    return network


@pytest.mark.parametrize(("limit", "shift"), [(1e-12, 0.0), (1e6, 100.0), (1e6, np.nan)])
def test_what_differs_from_pytorch_is_not_written(
    workplace, monkeypatch: pytest.MonkeyPatch, limit: float, shift: float
) -> None:
    """In one logit, in predictions, or by no number at all; and what older weights left is gone."""
    monkeypatch.setattr(export, "to_onnx", lambda *arguments: shifted(to_onnx(*arguments), shift))
    if np.isnan(shift):  # as where both overflow
        nothing = {"differing_predictions": 0, "max_logit_difference": np.nan}
        monkeypatch.setattr(export, "compare_logits", lambda *_: nothing)
    paths.int8("lenet").parent.mkdir()
    for path in (paths.onnx("lenet"), paths.int8("lenet")):
        path.write_bytes(b"of older weights")
    workplace.change("export", max_logit_difference=limit)
    with pytest.raises(PipelineError, match=r"export\.max_logit_difference"):
        export.run(workplace.params, "lenet")
    assert not paths.onnx("lenet").exists()
    assert list(paths.int8("lenet").parent.iterdir()) == []
    assert not workplace.published


def test_one_differing_prediction_is_counted() -> None:
    expected, found = np.array([[0, 1], [0, 1], [2, 0]], np.float32), np.array([[0, 1], [0, -2], [2, 0]], np.float32)
    differences = {"differing_predictions": 1, "max_logit_difference": 3, "mean_logit_difference": 0.5}
    assert export.compare_logits(expected, found) == differences


def test_latency_is_the_median_of_its_repeats_after_the_warm_up(mlp: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock: each warm-up takes 9 s, then onnxruntime 1, 2 and 6 ms, PyTorch twice and INT8 3 times as long."""
    elapsed = [9.0] * 3 * latency.WARM_UP + [0.001 * turn * of for turn in (1, 2, 6) for of in (1, 2, 3)]
    ticks = iter(np.cumsum([part for seconds in elapsed * 2 for part in (0.0, seconds)]))
    monkeypatch.setattr(latency, "perf_counter", lambda: float(next(ticks)))
    session, threads = open_session(to_bytes(mlp[1])), torch.get_num_threads()
    timings = latency.measure_latency(mlp[0], session, session, bars(3, seed=4)[0][..., None], repeats=3)
    expected = {"latency_ms": 2, "pytorch_latency_ms": 4, "int8_latency_ms": 6}
    expected |= {"latency_ratio": 0.5, "int8_latency_ratio": 3}
    expected |= {f"{name}_batch_256": value for name, value in expected.items()}
    assert timings == pytest.approx(expected)
    assert next(ticks, None) is None
    assert torch.get_num_threads() == threads
