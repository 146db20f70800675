"""What people do with a network that was really trained and exported, in order: promote, trace, predict."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import bars
from mnist_pipeline.data.catalog import STROKES
from mnist_pipeline.data.picture import prepare
from mnist_pipeline.serving.session import open_network
from projects import Project
from tracked_content import client_of

NETWORK = "models/lenet/model.onnx"
TAGS = ["lenet#champion#1", "lenet@v1.0.0"]


@pytest.fixture(scope="module")
def promoted(reproduced: Project) -> Project:
    reproduced.commit("The first result")
    reproduced.cli("promote", "lenet")
    return reproduced


def lineage(project: Project, name: str) -> Any:
    (found,) = json.loads(project.cli("lineage", name, "--json"))
    return found


def champion(project: Project, folder: Path) -> bytes:
    """The ONNX file that MLflow's own command gives for the alias."""
    address = f"MLFLOW_TRACKING_URI=sqlite:///{project.path}/mlruns/mlflow.db"
    download = ["mlflow", "artifacts", "download", "--artifact-uri", "models:/lenet@champion", "--dst-path"]
    project.run("env", address, *download, str(folder))
    (network,) = folder.rglob("*.onnx")
    return network.read_bytes()


def test_the_champion_is_the_exported_file_by_every_name(promoted: Project, tmp_path: Path) -> None:
    assert promoted.run("git", "tag").split() == TAGS
    assert champion(promoted, tmp_path) == (promoted.path / NETWORK).read_bytes()
    commit = promoted.run("git", "rev-parse", "HEAD").strip()
    for name in (NETWORK, "models:/lenet@champion", "lenet@v1.0.0"):
        found = lineage(promoted, name)
        assert (found["commit"], found["stage"], found["tags"]) == (commit, "export@lenet", TAGS)
        assert (found["versions"][0]["aliases"], found["unknown"]) == (["champion"], [])
        assert found["parameters"]["train"]["lenet"]["epochs"] == 2
    assert "lenet" in promoted.run("gto", "show")


def test_reports_of_all_models_lead_to_their_runs(promoted: Project) -> None:
    found = lineage(promoted, "reports/compare/metrics.json")
    assert (found["stage"], found["parameters"]["models"], len(found["runs"])) == ("compare", ["lenet", "mlp"], 2)


def test_sync_brings_a_lost_registry_back(promoted: Project, tmp_path: Path) -> None:
    clone = promoted.clone(tmp_path / "clone")
    shutil.copytree(promoted.path / ".dvc/cache", clone.path / ".dvc/cache")
    clone.run("dvc", "checkout")
    clone.cli("sync")
    assert champion(clone, tmp_path / "champion") == (promoted.path / NETWORK).read_bytes()
    version = client_of(clone.path).get_model_version_by_alias("lenet", "champion")
    assert version.tags["git.tag"] == "lenet@v1.0.0"
    assert version.run_id == lineage(clone, NETWORK)["runs"][0]["run_id"]


@pytest.fixture(scope="module")
def pictured(promoted: Project) -> Project:
    """With large pictures, dark on light, in `pictures`."""
    folder = promoted.path / "pictures"
    folder.mkdir()
    for number, image in enumerate(bars(10, seed=9)[0]):
        Image.fromarray(np.kron(255 - image, np.ones((9, 9), np.uint8))).save(folder / f"{number}.png")
    return promoted


def predicted(project: Project, *arguments: str) -> list[dict]:
    found: list[dict] = json.loads(project.cli("predict", "--json", *arguments))
    return found


def test_each_kind_of_model_predicts_what_its_network_computes(pictured: Project, tmp_path: Path) -> None:
    images = np.stack([prepare(path, STROKES, (28, 28, 1)) for path in sorted((pictured.path / "pictures").iterdir())])
    int8, pictures = "models/mlp/int8/model.onnx", str(pictured.path / "pictures")
    for model, file in (("mlp", "models/mlp/model.onnx"), (int8, int8)):
        probabilities, _ = open_network(pictured.path / file).classify(images)
        printed = predicted(pictured, "--model", model, "pictures")
        assert [entry["image"] for entry in printed] == [f"pictures/{number}.png" for number in range(10)]
        for entry, row in zip(printed, probabilities, strict=True):
            assert list(entry["probabilities"].values()) == pytest.approx(row.tolist(), abs=1e-6)
            assert entry["label"] == str(row.argmax())
            assert entry["probability"] == max(entry["probabilities"].values())

    elsewhere = Project(tmp_path)  # without params.yaml
    found = predicted(elsewhere, "--model", str(pictured.path / int8), pictures)
    assert [entry["label"] for entry in found] == [entry["label"] for entry in printed]

    pictured.commit("Its results")
    pictured.cli("promote", "mlp")
    mlp = predicted(pictured, "--model", "mlp", "pictures")
    assert predicted(pictured, "--model", "models:/mlp@champion", "pictures") == mlp != printed


@pytest.mark.parametrize(
    "model", ["nobody", "other.onnx", "README.onnx", "models:/mlp@nobody", "models/mlp/weights.safetensors"]
)
def test_a_model_that_is_not_there_is_named(pictured: Project, model: str) -> None:
    (pictured.path / "README.onnx").write_text("no network")
    printed = pictured.cli("predict", "--model", model, "pictures/1.png", code=1)
    assert model in printed
    assert len(printed.splitlines()) == 1
