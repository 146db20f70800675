"""What docs/how-to/add-a-model.md describes is all that a new model takes."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.entities import Run

from projects import Project
from tracked_content import runs_of

MODEL = '''
import math

from torch import Tensor, nn


class Softmax(nn.Module):
    """Softmax regression."""

    def __init__(self, *, shape: tuple[int, int, int], classes: int, bias: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(math.prod(shape), classes, bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image.flatten(1))


NETWORK = Softmax
'''
NEW = {f"{stage}@softmax" for stage in ("train", "evaluate", "export", "card")}
ALL_MODELS = {"compare", "card@lenet", "card@mlp"}
"""The stages that show the models beside each other."""


def report(project: Project, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.read(f"reports/{stage}/softmax/metrics.json"))
    return found


def run_of_softmax(project: Project) -> Run:
    (run,) = [run for run in runs_of(project.path) if run.data.params["model"] == "softmax"]
    return run


@pytest.fixture(scope="module")
def reproduced(reproduced: Project) -> Project:
    reproduced.commit("The first result")
    (reproduced.path / "src/mnist_pipeline/models/softmax.py").write_text(MODEL)
    params = reproduced.params()
    params["train"]["softmax"] = params["train"]["mlp"] | {"architecture": {"bias": True}}
    params["models"].append("softmax")
    reproduced.write_params(params)
    reproduced.cli("plots")
    return reproduced


def test_its_own_stages_run_and_those_that_show_all_models(reproduced: Project) -> None:
    printed = reproduced.run("dvc", "repro")
    assert set(re.findall(r"Running stage '(\S+)'", printed)) == NEW | ALL_MODELS
    assert report(reproduced, "train")["parameters"] == 7850
    assert report(reproduced, "evaluate")["accuracy"] > 0.2
    assert json.loads(reproduced.read("reports/export/softmax/details.json"))["differing_predictions"] == 0


def test_it_is_compared_and_shown_wherever_the_others_are(reproduced: Project) -> None:
    pairs = csv.DictReader(reproduced.read("reports/compare/tables/pairs.csv").splitlines())
    assert {"lenet", "softmax"} in [set(pair.values()) & {"lenet", "mlp", "softmax"} for pair in pairs]
    assert "softmax" in reproduced.cli("results")
    assert run_of_softmax(reproduced).data.metrics["accuracy"] == report(reproduced, "evaluate")["accuracy"]
    reproduced.run("dvc", "plots", "show", "--out", "dvc_plots")
    assert "reports/evaluate/softmax/figures" in reproduced.read("dvc_plots/index.html").replace("_", "/")
    pipeline = reproduced.read("dvc.yaml")
    assert yaml.safe_load(pipeline)["artifacts"]["softmax"]["path"] == "models/softmax/model.onnx"
    reproduced.cli("plots")  # the second time, nothing is new
    assert reproduced.read("dvc.yaml") == pipeline


def test_without_a_layer_for_int8_an_empty_folder_is_pushed_and_pulled(reproduced: Project, tmp_path: Path) -> None:
    int8 = json.loads(reproduced.read("reports/export/softmax/details.json"))["int8"]
    assert int8["shipped"] is False
    reproduced.commit("A third model")
    reproduced.run("dvc", "push", "--quiet", "export@softmax")
    clone = reproduced.clone(tmp_path / "clone")
    clone.run("dvc", "pull", "--quiet", "export@softmax")
    assert list((clone.path / "models/softmax/int8").iterdir()) == []
    assert (clone.path / "models/softmax/model.onnx").is_file()
