"""The exported network is an MLflow model that others can load."""

import os
from pathlib import Path
from typing import Any
from unittest import mock

import mlflow
import numpy as np
import onnx
import onnxruntime
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Metric
from mlflow.models import Model

from mnist_pipeline.formats import file_digest
from mnist_pipeline.tracking import onnx_model
from mnist_pipeline.tracking.onnx_model import find_models, log_onnx_model, run_of, show_metrics
from mnist_pipeline.tracking.registry import shortened
from networks import exported
from tiny_project import MODEL, ONNX, TinyProject, matrix, network


@pytest.fixture
def run(project: TinyProject) -> str:
    """The run of the network that lies in the project."""
    (found,) = project.store.client.search_logged_models([project.store.models], f"tags.`dvc.md5` = '{md5()}'")
    return str(run_of(found))


def md5() -> str:
    return file_digest(ONNX, "md5")


def model_of(project: TinyProject, run: str) -> LoggedModel:
    (model,) = find_models(project.store.client, run)
    return model


def test_pyfunc_predicts_what_onnxruntime_predicts(project: TinyProject, run: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    session = onnxruntime.InferenceSession(ONNX, providers=["CPUExecutionProvider"])
    predicted = mlflow.pyfunc.load_model(model_of(project, run).artifact_location).predict({"image": images})
    for name, expected in zip(("logits", "probabilities"), session.run(None, {"image": images}), strict=True):
        np.testing.assert_array_equal(predicted[name], expected)
    assert "MLFLOW_TRACKING_URI" not in os.environ


@pytest.mark.parametrize("shape", [(12, 16, 3), (9, 8, 4)])
def test_a_network_for_colour_images_is_a_model_that_predicts(project: TinyProject, run: str, shape: Any) -> None:
    onnx.save(exported("resnet", shape=shape)[1], ONNX)
    assert log_onnx_model(project.store.client, run, MODEL, ONNX)
    folder = model_of(project, run).artifact_location
    described = Model.load(folder)
    assert described.signature.inputs.inputs[0].shape == (-1, *shape)
    assert described.load_input_example(folder)["image"].shape == (1, *shape)
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8)
    session = onnxruntime.InferenceSession(ONNX, providers=["CPUExecutionProvider"])
    predicted = mlflow.pyfunc.load_model(folder).predict({"image": images})
    np.testing.assert_array_equal(predicted["logits"], session.run(["logits"], {"image": images})[0])


def test_the_model_of_a_run_is_the_file_with_signature_example_and_requirements(project: TinyProject, run: str) -> None:
    model, shown = model_of(project, run), project.store.client.get_run(run)
    assert [(output.model_id, output.step) for output in shown.outputs.model_outputs] == [(model.model_id, 2)]
    assert (model.name, model.status, model.params, model.tags["dvc.md5"]) == (MODEL, "READY", {"epochs": "2"}, md5())
    folder = Path(model.artifact_location)
    assert (folder / "model.onnx").read_bytes() == ONNX.read_bytes()
    described = Model.load(str(folder))
    tensors = [*described.signature.inputs.inputs, *described.signature.outputs.inputs]
    outputs = [(name, np.dtype("float32"), (-1, 10)) for name in ("logits", "probabilities")]
    found = [(tensor.name, tensor.type, tensor.shape) for tensor in tensors]
    assert found == [("image", np.dtype("uint8"), (-1, 28, 28)), *outputs]
    assert described.load_input_example(str(folder))["image"].shape == (1, 28, 28)
    requirements = (folder / "requirements.txt").read_text().split()
    assert [requirement.split("==")[0] for requirement in requirements] == list(onnx_model.REQUIREMENTS)


def test_the_same_network_adds_nothing_and_another_takes_its_place(project: TinyProject, run: str) -> None:
    client, before = project.store.client, model_of(project, run)
    assert not log_onnx_model(client, run, MODEL, ONNX)
    assert model_of(project, run).model_id == before.model_id
    onnx.save(network(matrix(3)), ONNX)
    assert log_onnx_model(client, run, MODEL, ONNX)
    assert model_of(project, run).tags["dvc.md5"] == md5()
    assert before.model_id not in [model.model_id for model in client.search_logged_models([project.store.models])]


def test_a_model_of_an_earlier_store_is_known_by_its_tag_row(project: TinyProject, run: str) -> None:
    client, model = project.store.client, model_of(project, run)
    client.delete_logged_model_tag(model.model_id, "run")
    client.set_logged_model_tags(model.model_id, {"row": run})
    assert model_of(project, run).model_id == model.model_id
    project.promote()
    assert client.get_model_version_by_alias(MODEL, "champion").run_id == run
    onnx.save(network(matrix(3)), ONNX)
    assert log_onnx_model(client, run, MODEL, ONNX)
    assert (model_of(project, run).tags["dvc.md5"], run_of(client.get_logged_model(model.model_id))) == (md5(), None)


def test_a_model_that_was_cut_off_is_logged_again(project: TinyProject, run: str) -> None:
    onnx.save(network(matrix(3)), ONNX)
    full = mock.patch.object(MlflowClient, "log_model_artifacts", side_effect=OSError("no space left"))
    with full, pytest.raises(OSError, match="no space"):
        log_onnx_model(project.store.client, run, MODEL, ONNX)
    assert log_onnx_model(project.store.client, run, MODEL, ONNX)
    assert (model_of(project, run).status, model_of(project, run).tags["dvc.md5"]) == ("READY", md5())


def test_its_page_shows_hundreds_of_results_each_once(project: TinyProject, run: str) -> None:
    """MLflow fails where more than a hundred are shown again."""
    client = project.store.client
    client.log_batch(run, [Metric(f"measure_{number}", 0.5, 1, 0) for number in range(150)])
    show_metrics(client, run)
    client.log_batch(run, [Metric("late", 1.0, 2, 0), Metric("late", 0.5, 3, 1)])
    show_metrics(client, run)
    shown = {metric.key: (metric.step, metric.value) for metric in model_of(project, run).metrics}
    assert (len(shown), len(model_of(project, run).metrics), shown["late"]) == (151, 151, (1, 0.5))


@pytest.mark.parametrize(("most", "sections"), [(1000, 2), (300, 1), (1, 0)])
def test_a_description_is_as_many_sections_of_the_card_as_fit(most: int, sections: int) -> None:
    card = "# Card\n" + 2 * ("\n## Section\n\n![A picture](a.png)\n\n" + 150 * "x" + "\n")
    described = shortened(card, most)
    assert described.count("## ") == sections
    assert "](" not in described, "MLflow shows no picture of a card"
