"""`dvc repro` and `dvc exp run` as people type them, in order, in one project."""

import csv
import json
import shutil
import signal
import subprocess
from typing import Any

import pytest

from projects import Project
from tracked_content import runs_of

MODELS = ("lenet", "mlp")
PER_MODEL = ("train", "evaluate", "export", "card")


def metrics(project: Project, stage: str, model: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.read(f"reports/{stage}/{model}/metrics.json"))
    return found


@pytest.fixture(scope="module")
def reproduced(reproduced: Project) -> Project:
    reproduced.commit("The first result")
    return reproduced


def test_every_stage_leaves_its_outputs(reproduced: Project) -> None:
    for model in MODELS:
        history = list(csv.DictReader(reproduced.read(f"reports/train/{model}/history.csv").splitlines()))
        assert [row["epoch"] for row in history] == ["1", "2"]
        assert float(history[-1]["validation_accuracy"]) == pytest.approx(
            metrics(reproduced, "train", model)["validation_accuracy"]
        )
        assert json.loads(reproduced.read(f"reports/export/{model}/details.json"))["differing_predictions"] == 0
        assert (reproduced.path / "models" / model / "model.onnx").stat().st_size > 1000
        card = reproduced.read(f"reports/card/{model}/model_card.md")
        assert f"{metrics(reproduced, 'evaluate', model)['accuracy']:.2%}" in card
    assert json.loads(reproduced.read("reports/validate/verdict.json"))["passed"] is True
    (pair,) = csv.DictReader(reproduced.read("reports/compare/tables/pairs.csv").splitlines())
    accuracies = [metrics(reproduced, "evaluate", model)["accuracy"] for model in MODELS]
    assert [float(pair["accuracy"]), float(pair["other_accuracy"])] == pytest.approx(accuracies)


def test_one_run_for_each_model_with_the_numbers_of_all_stages(reproduced: Project) -> None:
    runs = {run.data.params["model"]: run for run in runs_of(reproduced.path)}
    assert runs.keys() == set(MODELS)
    for model, run in runs.items():
        assert run.info.status == "FINISHED"
        shown = run.data.metrics
        assert len(shown) <= 30
        assert min(shown) == "accuracy"
        for stage in ("train", "evaluate"):
            assert metrics(reproduced, stage, model).items() <= shown.items()
        assert {f"onnx/{name}" for name in metrics(reproduced, "export", model)} <= shown.keys()
        assert run.data.params["epochs"] == "2"
        assert f"md5: {run.data.tags['dvc.md5']}" in reproduced.read("dvc.lock")


def test_data_runs_and_comparisons_are_experiments_of_their_own(reproduced: Project) -> None:
    data = runs_of(reproduced.path, "mnist-pipeline-data")
    assert {run.data.tags["dvc.stage"] for run in data} == {"download", "validate"}
    (comparison,) = runs_of(reproduced.path, "mnist-pipeline-comparisons")
    assert {comparison.data.params[model] for model in MODELS} == {
        run.info.run_name for run in runs_of(reproduced.path)
    }


def test_the_second_time_nothing_runs_and_nothing_is_left_for_git(reproduced: Project) -> None:
    assert "Running stage" not in reproduced.run("dvc", "repro")
    assert reproduced.run("git", "status", "--porcelain") == ""


def test_a_model_has_at_most_twenty_metrics_and_every_plot_is_drawn(reproduced: Project) -> None:
    assert "models/mlp/model.onnx" in reproduced.cli("results")
    shown = json.loads(reproduced.run("dvc", "metrics", "show", "--json"))[""]["data"]
    assert 15 <= len([name for path, found in shown.items() if "/lenet/" in path for name in found["data"]]) <= 20
    reproduced.run("dvc", "plots", "show", "--out", "dvc_plots")
    page = reproduced.read("dvc_plots/index.html")
    shutil.rmtree(reproduced.path / "dvc_plots")
    assert all(name in page for name in ("validation_accuracy", "missed_by_all.png", "confusion.png"))


def test_every_stage_run_again_changes_no_byte_and_adds_no_run(reproduced: Project) -> None:
    for stage in ("download", "validate", "train", "evaluate", "compare", "export", "card"):
        for model in MODELS if stage in PER_MODEL else (None,):
            reproduced.cli(stage, *([model] if model else []))
    assert json.loads(reproduced.run("dvc", "status", "--json")) == {}
    assert len(runs_of(reproduced.path)) == 2


def test_one_epoch_is_an_experiment_that_changes_one_line_and_adds_its_run(reproduced: Project) -> None:
    reproduced.run("dvc", "exp", "run", "--name", "short", "--set-param", "train.mlp.epochs=1", "evaluate@mlp")
    assert reproduced.run("git", "diff", "--numstat", "--", "params.yaml").split()[:2] == ["1", "1"]
    (run,) = [run for run in runs_of(reproduced.path) if run.data.params["epochs"] == "1"]
    assert run.data.tags["dvc.exp_name"] == "short"
    assert "accuracy" in run.data.metrics
    assert len(runs_of(reproduced.path)) == 3
    assert "train.mlp.epochs" in reproduced.run("dvc", "params", "diff")
    reproduced.run("git", "checkout", "--", ".")
    reproduced.run("dvc", "checkout")


def test_ctrl_c_ends_a_training_and_leaves_the_weights_before_it(reproduced: Project) -> None:
    params = reproduced.params()
    params["train"]["mlp"]["epochs"] = 10_000
    reproduced.write_params(params)
    weights = (reproduced.path / "models/mlp/weights.safetensors").read_bytes()

    def interrupt(line: str, process: subprocess.Popen[str]) -> None:
        if line.startswith("epoch"):
            process.send_signal(signal.SIGINT)

    code, printed = reproduced.watched(["mnist-pipeline", "train", "mlp"], interrupt)
    assert code == 130
    assert "Traceback" not in printed
    assert [run.info.status for run in runs_of(reproduced.path) if run.data.params["epochs"] == "10000"] == ["KILLED"]
    assert (reproduced.path / "models/mlp/weights.safetensors").read_bytes() == weights
    reproduced.run("git", "checkout", "--", ".")
    assert "Running stage" not in reproduced.run("dvc", "repro")
