"""A third model takes what docs/add-a-model.md says and no more: a module, a section and a word."""

import json
import re
from pathlib import Path

import pytest

MODULE = '''
from torch import Tensor, nn


class Softmax(nn.Module):
    """Softmax regression."""

    def __init__(self, *, classes: int, bias: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(784, classes, bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image.flatten(1))
'''


@pytest.fixture(scope="module")
def with_softmax(project):
    models = project.path / "src/mnist_pipeline/models"
    (models / "softmax.py").write_text(MODULE)
    registry = (models / "build.py").read_text()
    registry, changed = re.subn(r"(NETWORKS: .*)}", r'\1, "softmax": Softmax}', registry)
    assert changed == 1
    (models / "build.py").write_text("from mnist_pipeline.models.softmax import Softmax\n" + registry)
    params = project.params()
    params["train"]["softmax"] = params["train"]["mlp"] | {"architecture": {"bias": True}, "ema_decay": 0.0}
    params["models"] = ["softmax"]
    project.write_params(params)
    return project


def test_it_is_trained_evaluated_compared_and_exported(with_softmax) -> None:
    with_softmax.run("dvc", "repro")
    metrics = {
        stage: json.loads(with_softmax.read(f"reports/{stage}/softmax/metrics.json"))
        for stage in ("train", "evaluate", "export")
    }
    assert metrics["train"]["parameters"] == 7850
    assert metrics["evaluate"]["accuracy"] > 0.2
    assert metrics["export"]["differing_predictions"] == 0
    compared = json.loads(with_softmax.read("reports/compare/metrics.json"))
    assert compared["pairs"] == {}  # it is alone
    assert compared["missed_by_all"] == metrics["evaluate"]["errors"]
    assert "softmax" in with_softmax.run("mnist-pipeline", "results")


def test_without_a_layer_for_int8_none_is_offered_and_its_empty_folder_is_pushed_and_pulled(
    with_softmax, tmp_path: Path
) -> None:
    found = json.loads(with_softmax.read("reports/export/softmax/metrics.json"))["int8"]
    assert (found["offered"], found["reason"]) == (False, "not smaller")
    with_softmax.commit("A third model")
    with_softmax.run("dvc", "push")
    with_softmax.run("rm", "-r", ".dvc/cache")
    clone = with_softmax.clone(tmp_path / "clone")
    clone.run("dvc", "pull")
    assert list((clone.path / "models/softmax/int8").iterdir()) == []
    assert "Running stage" not in clone.run("dvc", "repro")


def test_the_others_are_compared_with_the_first(with_softmax) -> None:
    params = with_softmax.params()
    params["models"] = ["softmax", "mlp"]
    with_softmax.write_params(params)
    printed = with_softmax.run("dvc", "repro")
    assert printed.index("evaluate@mlp") < printed.index("'compare'")
    compared = json.loads(with_softmax.read("reports/compare/metrics.json"))
    assert list(compared["pairs"]) == ["softmax against mlp"]
