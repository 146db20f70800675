"""`mnist-pipeline predict` as a user runs it, with each kind of model."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import bars
from mnist_pipeline.serving.picture import as_in_mnist
from mnist_pipeline.serving.session import open_network
from projects import Project


@pytest.fixture(scope="module")
def project(reproduced: Project) -> Project:
    """With large pictures, dark on light, in `pictures`."""
    folder = reproduced.path / "pictures"
    folder.mkdir()
    for number, image in enumerate(bars(10, seed=9)[0]):
        Image.fromarray(np.kron(255 - image, np.ones((9, 9), np.uint8))).save(folder / f"{number}.png")
    return reproduced


def predicted(project: Project, *arguments: str) -> list[dict]:
    found: list[dict] = json.loads(project.cli("predict", "--json", *arguments))
    return found


def test_each_kind_of_model_predicts_what_its_network_computes(project: Project, tmp_path: Path) -> None:
    images = np.stack([as_in_mnist(path) for path in sorted((project.path / "pictures").iterdir())])
    int8, pictures = "models/mlp/int8/model.onnx", str(project.path / "pictures")
    for model, file in (("mlp", "models/mlp/model.onnx"), (int8, int8)):
        probabilities, _ = open_network(project.path / file).classify(images)
        printed = predicted(project, "--model", model, "pictures")
        assert [entry["image"] for entry in printed] == [f"pictures/{number}.png" for number in range(10)]
        for entry, row in zip(printed, probabilities, strict=True):
            assert list(entry["probabilities"].values()) == pytest.approx(row.tolist(), abs=1e-6)
            assert entry["label"] == str(row.argmax())
            assert entry["probability"] == max(entry["probabilities"].values())

    elsewhere = Project(tmp_path)  # without params.yaml
    found = predicted(elsewhere, "--model", str(project.path / int8), pictures)
    assert [entry["label"] for entry in found] == [entry["label"] for entry in printed]

    project.commit("Its results")
    project.cli("promote", "mlp")
    mlp = predicted(project, "--model", "mlp", "pictures")
    assert predicted(project, "--model", "models:/mlp@champion", "pictures") == mlp != printed


@pytest.mark.parametrize(
    "model", ["nobody", "other.onnx", "README.onnx", "models:/mlp@nobody", "models/mlp/weights.safetensors"]
)
def test_a_model_that_is_not_there_is_named(project: Project, model: str) -> None:
    (project.path / "README.onnx").write_text("no network")
    printed = project.cli("predict", "--model", model, "pictures/1.png", code=1)
    assert model in printed
    assert len(printed.splitlines()) == 1
