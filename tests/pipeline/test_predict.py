"""`mnist-pipeline predict` as a user runs it: on files and folders, with each kind of model."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from conftest import bars
from projects import Project

PIXELS_EACH = 9
"""A picture is as many times larger than an image of MNIST."""
LABELS = "0123456789"


@pytest.fixture(scope="module")
def project(project: Project, pictures: Path) -> Project:
    params = project.params()
    recipe = params["train"]["mlp"]
    recipe["epochs"] = 20
    recipe["augmentation"] |= {"rotation": 0, "shear": 0}  # the labels are angles
    project.write_params(params)
    project.run("dvc", "repro", "export@mlp")
    shutil.copytree(pictures, project.path / "pictures")
    return project


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large pictures, dark on light, named after what is drawn on them."""
    folder = tmp_path_factory.mktemp("pictures")
    images, labels = bars(10, seed=9)
    for image, label in zip(images, labels, strict=True):
        large = np.kron(255 - image, np.ones((PIXELS_EACH, PIXELS_EACH), dtype=np.uint8))
        Image.fromarray(large).save(folder / f"{label}.png")
    return folder


def predicted(project: Project, *arguments: str) -> dict[str, dict]:
    printed = project.run("mnist-pipeline", "predict", "--json", *arguments)
    return {Path(entry["image"]).stem: entry for entry in json.loads(printed)}


def test_pictures_of_a_folder_are_recognised(project: Project) -> None:
    found = predicted(project, "--model", "mlp", "pictures")
    assert sorted(found) == sorted(LABELS)
    assert sum(entry["label"] == name for name, entry in found.items()) >= 9
    for entry in found.values():
        assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert entry["probability"] == entry["probabilities"][entry["label"]] == max(entry["probabilities"].values())


def test_a_file_of_a_model_does_without_the_project(project: Project, tmp_path: Path) -> None:
    network = shutil.copy(project.path / "models/mlp/model.onnx", tmp_path)
    elsewhere = Project(tmp_path)
    assert predicted(elsewhere, "--model", network, str(project.path / "pictures")).keys() == set(LABELS)


def test_the_model_in_int8_says_the_same(project: Project) -> None:
    found = predicted(project, "--model", "models/mlp/int8/model.onnx", "pictures")
    expected = predicted(project, "--model", "mlp", "pictures")
    assert {name: entry["label"] for name, entry in found.items()} == {
        name: entry["label"] for name, entry in expected.items()
    }
    assert found != expected  # it is not the same network


def test_a_promoted_model_is_found_by_its_alias(project: Project) -> None:
    project.commit("A model")
    params = project.params()
    params["models"] = ["mlp"]  # a card is of all models together
    project.write_params(params)
    project.run("dvc", "repro", "card@mlp")
    project.commit("Its results")
    project.run("mnist-pipeline", "promote", "mlp")
    by_alias = predicted(project, "--model", "models:/mlp@champion", "pictures")
    assert by_alias == predicted(project, "--model", "mlp", "pictures")


def test_a_table_is_printed_and_what_looks_like_no_digit_is_told(project: Project) -> None:
    """Of two networks that differ in what they take for familiar alone."""
    network = onnx.load(project.path / "models/mlp/model.onnx")
    (limit,) = [entry for entry in network.metadata_props if entry.key == "least_familiarity"]
    limit.value = "1000"
    onnx.save(network, project.path / "doubting.onnx")
    for model, warning in (("mlp", ""), ("doubting.onnx", "looks like nothing that mlp was trained on")):
        printed = project.run("mnist-pipeline", "predict", "--model", model, "pictures/3.png")
        path, label, probability, *rest = printed.splitlines()[-1].split(maxsplit=3)
        assert (path, label, probability[-1]) == ("pictures/3.png", "3", "%")
        assert "".join(rest).strip() == warning


def test_what_cannot_be_read_is_told_and_the_rest_is_done(project: Project) -> None:
    (project.path / "text.png").write_text("7")
    (project.path / "nothing").mkdir()
    printed = project.run(
        "mnist-pipeline", "predict", "--model", "mlp", "text.png", "pictures/4.png", "nothing", "gone.jpg", code=1
    )
    assert "predict: text.png: no PNG or JPEG picture" in printed
    assert "predict: nothing: a folder without .png, .jpg, .jpeg" in printed
    assert "predict: gone.jpg: cannot be read: No such file" in printed
    assert "error: 3 of 4 could not be read" in printed
    assert "pictures/4.png" in printed
    (project.path / "mixed/deeper").mkdir(parents=True)
    shutil.copy(project.path / "pictures/4.png", project.path / "mixed")
    shutil.copy(project.path / "text.png", project.path / "mixed/labels.txt")
    printed = project.run("mnist-pipeline", "predict", "--model", "mlp", "mixed")
    assert "predict: mixed: 2 of 3 left out: not .png, .jpg, .jpeg by name" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("resnet", "resnet: no such model in params.yaml; expected one of lenet, mlp"),
        ("lenet", "models/lenet/model.onnx: missing: run dvc repro, or dvc pull"),
        ("other.onnx", "other.onnx: cannot be read: No such file"),
        ("README.onnx", "README.onnx: no ONNX file of this pipeline"),
        ("models:/mlp@nobody", "models:/mlp@nobody: MLflow's registry has no such version"),
    ],
)
def test_a_model_that_is_not_there_is_told(project: Project, model: str, told: str) -> None:
    (project.path / "README.onnx").write_text("no network")
    printed = project.run("mnist-pipeline", "predict", "--model", model, "pictures/1.png", code=1)
    assert told in printed
    assert "Traceback" not in printed
