"""The exported network is an MLflow model that others can load."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from mlflow import MlflowClient

from mnist_pipeline import paths
from mnist_pipeline.files import file_digest
from mnist_pipeline.tracking import model as tracking_model

MODEL = "lenet"


def models(tracked) -> list:
    return list(tracked.store.client.search_logged_models([tracked.store.models]))


@pytest.fixture
def exported(tracked):
    tracked.train()
    tracked.evaluate()
    tracked.export()
    return tracked


def test_pyfunc_predicts_what_onnxruntime_predicts(exported, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    (model,) = models(exported)
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    session = onnxruntime.InferenceSession(paths.onnx(MODEL), providers=["CPUExecutionProvider"])
    logits, probabilities = session.run(None, {"image": images})
    predicted = mlflow.pyfunc.load_model(model.artifact_location).predict({"image": images})
    np.testing.assert_array_equal(predicted["logits"], logits)
    np.testing.assert_array_equal(predicted["probabilities"], probabilities)


def test_the_model_is_the_exported_file_byte_by_byte(exported) -> None:
    (model,) = models(exported)
    assert (Path(model.artifact_location) / "model.onnx").read_bytes() == paths.onnx(MODEL).read_bytes()
    assert model.tags["dvc.md5"] == file_digest(paths.onnx(MODEL), "md5")


def test_signature_example_and_requirements(exported) -> None:
    from mlflow.models import Model

    (model,) = models(exported)
    described = Model.load(model.artifact_location)
    (image,) = described.signature.inputs.inputs
    assert (image.name, image.type, image.shape) == ("image", np.dtype("uint8"), (-1, 28, 28))
    outputs = {output.name: (output.type, output.shape) for output in described.signature.outputs.inputs}
    assert outputs == {name: (np.dtype("float32"), (-1, 10)) for name in ("logits", "probabilities")}
    assert described.load_input_example(model.artifact_location)["image"].shape == (1, 28, 28)
    requirements = (Path(model.artifact_location) / "requirements.txt").read_text().split()
    assert [requirement.split("==")[0] for requirement in requirements] == list(tracking_model.REQUIREMENTS)


def test_the_model_belongs_to_the_row_and_to_its_last_epoch(exported) -> None:
    (model,) = models(exported)
    (output,) = exported.row().outputs.model_outputs
    assert (output.model_id, output.step) == (model.model_id, 2)
    assert model.name == MODEL
    assert model.status == "READY"
    assert model.params["learning_rate"] == exported.row().data.params["learning_rate"]


def test_exporting_the_same_network_again_adds_nothing(exported) -> None:
    before = models(exported)
    exported.export()
    assert [model.model_id for model in models(exported)] == [model.model_id for model in before]


def test_another_network_takes_the_place_of_the_former(exported) -> None:
    (before,) = models(exported)
    for seed in (1, 2):
        exported.export(seed)
    (model,) = models(exported)
    assert model.model_id != before.model_id
    assert model.tags["dvc.md5"] == file_digest(paths.onnx(MODEL), "md5")


def test_a_model_that_was_cut_off_is_logged_anew(tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise OSError("no space left")

    tracked.train()
    with monkeypatch.context() as full:
        full.setattr(MlflowClient, "log_model_artifacts", die)
        tracked.export()
    tracked.export()
    (model,) = models(tracked)
    assert model.status == "READY"
    assert [output.model_id for output in tracked.row().outputs.model_outputs] == [model.model_id]


def test_its_page_shows_the_results_in_whatever_order_the_stages_ran(tracked) -> None:
    tracked.train()
    tracked.export()
    tracked.evaluate()
    (model,) = models(tracked)
    shown = {metric.key: (metric.step, metric.value) for metric in model.metrics}
    assert shown["val/accuracy"] == (2, 0.75)
    assert shown["test/accuracy"] == (0, 0.9)
    assert shown["onnx/max_logit_difference"] == (0, 0.5)
    assert tracked.history(tracked.row(), "test/accuracy") == [(0, 0.9)]


def test_its_page_shows_hundreds_of_results_each_once(tracked) -> None:
    """MLflow fails where more than a hundred are shown again."""
    tracked.change("tracking", strict=True)
    many = {f"measure_{number}": number / 1000 for number in range(150)}
    tracked.train()
    tracked.export()
    tracked.evaluate(**many)
    tracked.card()
    (model,) = models(tracked)
    shown = [metric.key for metric in model.metrics]
    assert {f"test/{name}" for name in many} <= set(shown)
    assert len(shown) == len(set(shown))


def test_a_row_that_goes_takes_its_model_along(exported) -> None:
    from mnist_pipeline.tracking.runs import delete_run

    delete_run(exported.store.client, exported.row().info.run_id)
    assert models(exported) == []
    assert "MLFLOW_TRACKING_URI" not in os.environ
