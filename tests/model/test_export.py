"""The ONNX file computes what the trained network computes, is the same bytes each time, and else is not written."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx.numpy_helper import from_array, to_array

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_json
from mnist_pipeline.models import Classifier, Description, build, load_classifier, save_weights
from mnist_pipeline.serving import batches, latency
from mnist_pipeline.serving.latency import measure_latency
from mnist_pipeline.serving.onnx_export import ServedClassifier, to_bytes, to_onnx
from mnist_pipeline.serving.parity import compare
from mnist_pipeline.serving.session import logits, open_session
from mnist_pipeline.stages import export

ROOT = Path(__file__).parents[2]
IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from mnist_pipeline.models import load_classifier
from mnist_pipeline.serving.onnx_export import ServedClassifier, to_bytes, to_onnx
classifier, description = load_classifier(Path(sys.argv[1]))
sys.stdout.buffer.write(to_bytes(to_onnx(ServedClassifier(classifier), description, (28, 28), 2.5)))
"""
OPTIONS = [
    ("lenet", {"activation": "relu", "pooling": "max"}),
    ("lenet", {"activation": "silu", "pooling": "max"}),
    ("lenet", {"activation": "tanh", "pooling": "average"}),
    ("mlp", {"activation": "sigmoid", "hidden": [], "dropout": 0.0}),
    ("mlp", {"activation": "relu", "hidden": [32, 16], "dropout": 0.5}),
]


def random_images(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def exported(model: str, architecture: dict[str, Any]) -> tuple[ServedClassifier, onnx.ModelProto]:
    description = Description(model, architecture, ["zero", "café"], 0.13, 0.31, "abc.dir")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(model, architecture, classes=2)
    served = ServedClassifier(Classifier(network, 0.13, 0.31))
    return served, to_onnx(served, description, (28, 28), 2.5)


@pytest.fixture(scope="module", params=OPTIONS, ids=str)
def pair(request: pytest.FixtureRequest) -> tuple[ServedClassifier, onnx.ModelProto]:
    return exported(*request.param)


@pytest.fixture(scope="module")
def mlp() -> tuple[ServedClassifier, onnx.ModelProto]:
    return exported(*OPTIONS[-1])


def shape(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_any_batch_gives_pytorch_s_logits_and_probabilities(
    pair: tuple[ServedClassifier, onnx.ModelProto], batch: int
) -> None:
    served, network = pair
    images = random_images(batch)
    logits, probabilities = open_session(to_bytes(network)).run(["logits", "probabilities"], {"image": images})
    with torch.inference_mode():
        expected = [output.numpy() for output in served(torch.tensor(images))]
    np.testing.assert_allclose(logits, expected[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(probabilities, expected[1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(1), np.ones(batch), atol=1e-6)


def test_the_network_says_what_it_takes_and_gives(mlp: tuple[ServedClassifier, onnx.ModelProto]) -> None:
    graph = mlp[1].graph
    assert [(value.name, shape(value)) for value in graph.input] == [("image", ["batch", 28, 28])]
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [(value.name, shape(value)) for value in graph.output] == [
        ("logits", ["batch", 2]),
        ("probabilities", ["batch", 2]),
    ]
    assert {value.type.tensor_type.elem_type for value in graph.output} == {onnx.TensorProto.FLOAT}


def test_the_network_describes_itself(mlp: tuple[ServedClassifier, onnx.ModelProto]) -> None:
    entries = [(entry.key, entry.value) for entry in mlp[1].metadata_props]
    properties = dict(entries)
    assert [key for key, _ in entries] == ["data_md5", "label_names", "least_familiarity", "model", "preprocessing"]
    assert json.loads(properties["label_names"]) == ["zero", "café"]
    assert (properties["model"], properties["data_md5"]) == ("mlp", "abc.dir")
    assert properties["least_familiarity"] == "2.5"


def test_it_is_in_the_format_that_came_with_its_operator_set(mlp: tuple[ServedClassifier, onnx.ModelProto]) -> None:
    """`tests/system` runs it in the oldest onnxruntime, which reads no newer one."""
    assert [(entry.domain, entry.version) for entry in mlp[1].opset_import] == [("", 18)]
    assert mlp[1].ir_version == 8


def test_it_pools_with_one_operation() -> None:
    """In training LeNet pools in another way, which takes eight."""
    _, network = exported(*OPTIONS[0])
    kinds = [node.op_type for node in network.graph.node]
    assert kinds.count("MaxPool") == 2
    assert "Slice" not in kinds


def test_nothing_of_this_machine_or_of_the_exporter_is_in_it(pair: tuple[ServedClassifier, onnx.ModelProto]) -> None:
    content = to_bytes(pair[1])
    for trace in (str(ROOT), str(Path.home()), "site-packages", "stack_trace", "pkg.torch", torch.__version__):
        assert trace.encode() not in content


def test_another_process_writes_the_same_bytes(workplace, tmp_path: Path) -> None:
    weights = paths.weights("lenet").resolve()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IN_ANOTHER_PROCESS, str(weights)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": "7"},
        cwd=tmp_path.parent,
        capture_output=True,
        check=True,
    )
    classifier, description = load_classifier(weights)
    assert done.stdout == to_bytes(to_onnx(ServedClassifier(classifier), description, (28, 28), 2.5))
    assert done.stderr == b""


def test_the_stage_writes_a_checked_file_its_metrics_and_its_row(workplace, capfd: pytest.CaptureFixture[str]) -> None:
    export.run(workplace.params, "lenet")
    network = onnx.load(paths.onnx("lenet"))
    onnx.checker.check_model(network, full_check=True)
    metrics = read_json(paths.report("export", "lenet") / "metrics.json")
    assert metrics.keys() == {
        "images",
        "differing_predictions",
        "max_logit_difference",
        "mean_logit_difference",
        "size_bytes",
        "opset",
        "data_md5",
        "int8",
    }
    assert (metrics["images"], metrics["differing_predictions"], metrics["opset"]) == (200, 0, 18)
    assert 0 < metrics["mean_logit_difference"] < metrics["max_logit_difference"] < 1e-4
    assert metrics["size_bytes"] == paths.onnx("lenet").stat().st_size
    ((params, model, timings),) = workplace.published
    assert (params, model) == (workplace.params, "lenet")
    assert all(milliseconds > 0 for milliseconds in timings.values())
    printed = capfd.readouterr()
    assert printed.out == ""
    line, int8_line = printed.err.splitlines()
    assert line.startswith("export lenet: 200 predictions equal to PyTorch's")
    assert int8_line.startswith("export lenet: INT8 is offered: smaller, and not significantly less accurate: 3")


def test_a_second_run_gives_the_same_bytes(workplace) -> None:
    outputs = (paths.onnx("mlp"), paths.int8("mlp"), paths.report("export", "mlp") / "metrics.json")
    export.run(workplace.params, "mlp")
    first = [path.read_bytes() for path in outputs]
    export.run(workplace.params, "mlp")
    assert [path.read_bytes() for path in outputs] == first


def test_a_logit_beyond_the_limit_stops_the_stage_and_leaves_no_file(workplace) -> None:
    paths.int8("lenet").parent.mkdir()
    for path in (paths.onnx("lenet"), paths.int8("lenet")):
        path.write_bytes(b"of older weights")
    workplace.change("export", max_logit_difference=1e-12)
    with pytest.raises(PipelineError, match=r"0 of 200 predictions .* at most 1e-12 \(export\.max_logit_difference\)"):
        export.run(workplace.params, "lenet")
    assert not paths.onnx("lenet").exists()
    assert not paths.int8("lenet").exists()
    assert not workplace.published


def shifted(network: onnx.ModelProto, output: int, by: float) -> onnx.ModelProto:
    """The network with one bias of its last layer changed."""
    changed = onnx.ModelProto.FromString(network.SerializeToString())
    name = changed.graph.node[-2].input[2]
    (bias,) = (tensor for tensor in changed.graph.initializer if tensor.name == name)
    array = to_array(bias).copy()
    array[output] += by
    bias.CopyFrom(from_array(array, name))
    return changed


def test_a_network_that_predicts_otherwise_stops_the_stage(workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "to_onnx", lambda *arguments: shifted(to_onnx(*arguments), 3, 100.0))
    workplace.change("export", max_logit_difference=1e6)
    with pytest.raises(PipelineError, match=r"differ in \d+ of 200 predictions"):
        export.run(workplace.params, "lenet")
    assert not paths.onnx("lenet").exists()


def test_weights_that_are_no_numbers_stop_the_stage(workplace) -> None:
    """Both sides then predict the same, and a difference that is no number is not above the limit."""
    classifier, description = load_classifier(paths.weights("mlp"))
    torch.nn.init.constant_(classifier.network.linear_relu_stack[-1].bias, np.nan)
    save_weights(paths.weights("mlp"), classifier.network, description)
    with pytest.raises(PipelineError, match="in 0 of 200 predictions and by up to nan in a logit"):
        export.run(workplace.params, "mlp")
    assert not paths.onnx("mlp").exists()


def test_one_differing_prediction_is_counted(mlp: tuple[ServedClassifier, onnx.ModelProto], tiny_data: Path) -> None:
    served, network = mlp
    images = load_split(tiny_data, "test").images
    answers = served.logits(images)
    winner = int(answers[0].argmax())
    lead = answers[:, winner] - answers[:, 1 - winner]
    shift = float(lead[lead > 0].min()) + 1e-4
    parity = compare(answers, logits(open_session(to_bytes(shifted(network, 1 - winner, shift))), images))
    assert parity.images == 200
    assert parity.differing_predictions == ((lead > 0) & (lead < shift)).sum() > 0
    assert parity.max_logit_difference == pytest.approx(shift, abs=1e-5)
    assert parity.mean_logit_difference == pytest.approx(shift / 2, abs=1e-5)


def test_every_image_is_asked_about_whatever_the_batch(
    mlp: tuple[ServedClassifier, onnx.ModelProto], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, network = mlp
    images, session = random_images(10), open_session(to_bytes(network))
    at_once = served.logits(images), logits(session, images)
    monkeypatch.setattr(batches, "BATCH_SIZE", 4)
    for found, expected in zip((served.logits(images), logits(session, images)), at_once, strict=True):
        assert len(found) == 10
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_latency_is_told_for_both_batches_also_of_few_images(mlp: tuple[ServedClassifier, onnx.ModelProto]) -> None:
    served, network = mlp
    threads = torch.get_num_threads()
    session = open_session(to_bytes(network))
    timings = measure_latency(served, session, session, random_images(3), repeats=3)
    for batch in (1, 256):
        ours, theirs = (timings.pop(f"latency_ms/batch_{batch}/{name}") for name in ("onnxruntime", "pytorch"))
        assert timings.pop(f"latency_ratio/batch_{batch}") == ours / theirs
        assert timings.pop(f"int8/latency_ratio/batch_{batch}") == timings.pop(f"int8/latency_ms/batch_{batch}") / ours
    assert not timings
    assert torch.get_num_threads() == threads


def test_latency_is_the_median_of_its_repeats_after_the_warm_up(
    mlp: tuple[ServedClassifier, onnx.ModelProto], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that shows 9 s for each warm-up and then 1, 2 and 6 ms, for each contender."""
    elapsed = [9.0] * 3 * latency.WARM_UP + [0.001] * 3 + [0.002] * 3 + [0.006] * 3
    ticks = iter(np.cumsum([part for seconds in elapsed * 2 for part in (0.0, seconds)]))
    monkeypatch.setattr(latency, "perf_counter", lambda: float(next(ticks)))
    served, network = mlp
    session = open_session(to_bytes(network))
    timings = measure_latency(served, session, session, random_images(3), repeats=3)
    assert timings["latency_ms/batch_1/pytorch"] == pytest.approx(2)
    assert timings["int8/latency_ms/batch_1"] == pytest.approx(2)
    assert timings["latency_ms/batch_256/onnxruntime"] == pytest.approx(2)
    assert next(ticks, None) is None
