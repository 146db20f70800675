"""Images of many shapes and numbers of classes go through all stages, or end in one line that shows why not."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_pipeline.data import dataset
from projects import Project, make_project

STAGES = ("validate", "train mlp", "evaluate mlp", "compare", "export mlp", "card mlp")


def write_data(folder: Path, classes: int, shape: tuple[int, int, int], each: int, without: int | None) -> None:
    """Noisy images, each of its class's own pattern; the test set may lack one class."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 200, (classes, *shape))
    folder.mkdir()
    for split, lacking in (("train", None), ("test", without)):
        labels = np.array([label for label in range(classes) for _ in range(each) if label != lacking])
        noise = random.integers(0, 56, (len(labels), *shape))
        images = (patterns[labels] + noise).astype(np.uint8)
        dataset.write_images(folder, split, shape, [images])
        dataset.write_labels(folder, split, labels, classes)


@pytest.fixture
def project(tmp_path: Path, tiny_data: Path) -> Project:
    project = make_project(tmp_path / "repo", tiny_data)
    params = project.params()
    params["models"] = ["mlp"]
    params["data"] |= {"folder": "images"}
    params["data"]["image"]["preparation"] = "resize"
    params["train"]["mlp"] |= {"epochs": 8, "learning_rate": 0.01}
    project.write_params(params)
    return project


@pytest.mark.parametrize(
    ("classes", "shape", "each", "without"),
    [
        (10, (8, 8, 1), 10, None),
        (47, (32, 20, 4), 4, 3),
        (1000, (8, 8, 3), 4, None),
        (2, (224, 224, 3), 25, None),
    ],
    ids=str,
)
def test_they_go_through_all_stages(
    project: Project, classes: int, shape: tuple[int, int, int], each: int, without: int | None
) -> None:
    write_data(project.path / "images", classes, shape, each, without)
    printed = {stage: project.cli(*stage.split()) for stage in ("download", *STAGES)}
    scalars = json.loads(project.read("reports/evaluate/mlp/metrics.json"))
    assert scalars["accuracy"] > min(0.5, 10 / classes)  # by guessing, 1 / classes
    assert json.loads(project.read("reports/export/mlp/details.json"))["differing_predictions"] == 0
    assert ("has no test image" in printed["validate"] or str(without) in printed["validate"]) or without is None
    Image.fromarray(np.zeros((50, 70, 3), np.uint8)).save(project.path / "black.png")
    predicted = json.loads(project.cli("predict", "--json", "black.png"))
    assert len(predicted[0]["probabilities"]) == classes


def test_an_image_that_is_too_small_for_lenet_is_one_line(project: Project) -> None:
    write_data(project.path / "images", 3, (8, 8, 1), 20, None)
    params = project.params()
    params["models"] = ["lenet"]
    project.write_params(params)
    for stage in ("download", "validate"):
        project.cli(stage)
    printed = project.cli("train", "lenet", code=1)
    (line,) = [line for line in printed.splitlines() if line.startswith("error:")]
    assert re.search("8×8.*12×12", line)
