"""A promotion by the commands that people type, of a network that was really trained and exported."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

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
