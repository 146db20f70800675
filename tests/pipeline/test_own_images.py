"""Pictures and weights of one's own are dependencies by their content: what uses them runs again when they change."""

import json
from pathlib import Path

import pytest
from PIL import Image

from networks import describe, save_random_weights
from projects import Project
from shapes import draw_photos


def changed_dependencies(project: Project, stage: str) -> set[str]:
    status = json.loads(project.run("dvc", "status", "--json", stage)).get(stage, [])
    return {name for change in status if isinstance(change, dict) for name in change.get("changed deps", {})}


@pytest.fixture(scope="module")
def photos(project: Project) -> Path:
    """A folder of photographs that the pipeline has packed."""
    draw_photos(project.path / "photos", 12)
    params = project.params()
    params["data"] |= {"dataset": "folder", "folder": "photos"}
    params["data"]["image"] |= {"preparation": "resize", "height": 24, "width": 24, "channels": 3}
    project.write_params(params)
    project.run("dvc", "repro", "download")
    return project.path / "photos"


def test_a_picture_that_is_added_or_replaced_reruns_the_download(project: Project, photos: Path) -> None:
    assert changed_dependencies(project, "download") == set()
    Image.new("RGB", (40, 30), "red").save(photos / "circle" / "added.png")
    assert changed_dependencies(project, "download") == {"photos"}
    project.run("dvc", "repro", "download")
    assert "circle/added.png" in project.read("data/raw/pictures.csv")
    before = project.read("dvc.lock")
    Image.new("RGB", (40, 30), "blue").save(photos / "circle" / "added.png")
    project.run("dvc", "repro", "download")
    assert project.read("dvc.lock") != before


def test_a_folder_that_is_missing_is_named(project: Project, photos: Path) -> None:
    photos.rename(photos.with_name("elsewhere"))
    assert "photos" in project.run("dvc", "repro", "download", code=255)
    photos.with_name("elsewhere").rename(photos)


def test_weights_to_start_from_rerun_the_training_and_are_named_where_missing(reproduced: Project) -> None:
    assert changed_dependencies(reproduced, "train@lenet") == set()
    params = reproduced.params()
    params["train"]["lenet"]["init"] = "earlier.safetensors"
    reproduced.write_params(params)
    assert "init/earlier.safetensors: missing" in reproduced.run("dvc", "repro", "train@lenet", code=255)
    weights = reproduced.path / "init/earlier.safetensors"
    for seed in (1, 2):
        save_random_weights(weights, describe("lenet"), seed)
        assert "init" in changed_dependencies(reproduced, "train@lenet")
        reproduced.run("dvc", "repro", "train@lenet")
