"""The tutorial on one's own images, followed whole: on photographs that the test draws, and then on real ones."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fashion_pictures import write_pictures
from pages import commands
from projects import ROOT, Project, make_project
from shapes import SHAPES, draw_photos

PAGE = ROOT / "docs/tutorials/your-own-images.md"


def merge(into: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            merge(into[key], value)
        else:
            into[key] = value


def parameters_of_the_page() -> dict[str, Any]:
    block = PAGE.read_text().split("```yaml\n")[1].split("```")[0]
    changes: dict[str, Any] = yaml.safe_load(block)
    return changes


def report(project: Project, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.read(f"reports/{name}.json"))
    return found


@pytest.fixture
def project(tmp_path: Path, tiny_data: Path) -> Project:
    """A fresh clone, whose trainings are short."""
    project = make_project(tmp_path / "repo", tiny_data)
    params = project.params()
    params["data"] |= yaml.safe_load((ROOT / "params.yaml").read_text())["data"]
    params["train"]["lenet"] |= {"epochs": 15}
    project.write_params(params)
    project.commit("A fresh clone")
    return project


def test_the_page_leads_from_photographs_to_a_champion(project: Project) -> None:
    draw_photos(project.path / "photos", 200)
    params = project.params()
    merge(params, parameters_of_the_page())
    project.write_params(params)
    printed = {command: project.run("bash", "-c", command) for command in commands(PAGE)}

    pictures = list(csv.DictReader(project.read("data/raw/pictures.csv").splitlines()))
    assert len(pictures) == 602
    assert {row["file"] for row in pictures if row["problem"]} == {"circle/broken.jpg", "square/cut off.png"}
    assert report(project, "evaluate/lenet/metrics")["accuracy"] > 0.8
    predicted = [
        line.split()[1:2] for text in printed.values() for line in text.splitlines() if "photos/triangle" in line
    ]
    assert predicted.count(["triangle"]) > 160
    assert json.loads(project.read("data/classes.json")) == list(SHAPES)
    changed = project.run("git", "show", "--name-only", "--format=").split()
    assert set(changed) == {".gitignore", "dvc.lock", "params.yaml", "photos.dvc", "suites/folder.yaml"}
    assert project.run("git", "status", "--short") == ""


def test_real_photographs_are_learnt_too(project: Project) -> None:
    """Some of Fashion-MNIST, as pictures in train and test."""
    write_pictures(project.path / "photos", 1500)
    params = project.params()
    merge(params, parameters_of_the_page())
    params["models"] = ["lenet"]
    params["data"]["image"] |= {"height": 28, "width": 28, "channels": 1}
    project.write_params(params)
    project.run("dvc", "repro")
    assert report(project, "validate/verdict")["images"] == {"train": [1500, 28, 28, 1], "test": [1500, 28, 28, 1]}
    assert report(project, "evaluate/lenet/metrics")["accuracy"] > 0.7
    changed = project.run("git", "diff", "--name-only").split()
    assert changed == ["params.yaml"]
