"""`dvc repro`, `dvc exp run` and `mnist-pipeline sync` as people type them, in order, in one project."""

import csv
import json
import re
import shutil
import signal
import subprocess
from typing import Any

import pytest

from projects import Project
from tracked_content import forget, runs_of, shown

MODELS = ("lenet", "mlp")
NAMES = ("mnist-pipeline", "mnist-pipeline-data", "mnist-pipeline-comparisons")


def metrics(project: Project, stage: str, model: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.read(f"reports/{stage}/{model}/metrics.json"))
    return found


def sources(project: Project) -> set[str]:
    return {run.data.tags["source"] for name in NAMES for run in runs_of(project.path, name)}


def test_one_run_for_each_model_with_the_numbers_of_all_stages(reproduced: Project) -> None:
    runs = {run.data.params["model"]: run for run in runs_of(reproduced.path)}
    assert runs.keys() == set(MODELS)
    for model, run in runs.items():
        shown_metrics = run.data.metrics
        assert len(shown_metrics) <= 30
        assert min(shown_metrics) == "accuracy"
        for stage in ("train", "evaluate"):
            assert metrics(reproduced, stage, model).items() <= shown_metrics.items()
        assert {"onnx/max_logit_difference", "onnx/latency_ms"} <= shown_metrics.keys()
    (pair,) = csv.DictReader(reproduced.read("reports/compare/tables/pairs.csv").splitlines())
    accuracies = [metrics(reproduced, "evaluate", model)["accuracy"] for model in MODELS]
    assert [float(pair["accuracy"]), float(pair["other_accuracy"])] == pytest.approx(accuracies)


def test_synced_runs_equal_live_ones_field_by_field(reproduced: Project) -> None:
    live = shown(reproduced.path)
    assert (len(live), sources(reproduced)) == (5, {"stage"})
    forget(reproduced.path)
    assert "5 runs written, 0 complete, 0 left out" in reproduced.cli("sync")
    assert sources(reproduced) == {"sync"}
    assert shown(reproduced.path) == live
    assert "0 runs written, 5 complete, 0 left out" in reproduced.cli("sync")
    assert reproduced.cli("sync", "--if-changed") == ""


def test_the_second_time_nothing_runs_and_nothing_is_left_for_git(reproduced: Project) -> None:
    reproduced.commit("The first result")
    assert "Running stage" not in reproduced.run("dvc", "repro")
    assert reproduced.run("git", "status", "--porcelain") == ""


def test_a_model_has_at_most_twenty_metrics_and_every_plot_is_drawn(reproduced: Project) -> None:
    assert "models/mlp/model.onnx" in reproduced.cli("results")
    found = json.loads(reproduced.run("dvc", "metrics", "show", "--json"))[""]["data"]
    assert 15 <= len([name for path, values in found.items() if "/lenet/" in path for name in values["data"]]) <= 20
    reproduced.run("dvc", "plots", "show", "--out", "dvc_plots")
    page = reproduced.read("dvc_plots/index.html")
    plots = re.findall(r'<div\s+id ?= ?"(\w+)"', page)
    assert plots[:2] == ["Validation_accuracy", "Loss"], "the curves come first"
    pictures = [name for name in plots if name.endswith("_png")]  # all that is seen without a network
    assert pictures[:2] == [f"reports_card_{model}_curves_png" for model in ("lenet", "mlp")]
    shutil.rmtree(reproduced.path / "dvc_plots")
    assert all(name in page for name in ("validation_accuracy", "missed_by_all.png", "confusion.png"))


def test_experiments_and_commits_have_runs_with_their_origin(reproduced: Project) -> None:
    """Of one epoch, the first thing that anybody tries, which changes one line; and in a copy of the repository."""
    experiment = ("dvc", "exp", "run", "evaluate@mlp", "--name")
    reproduced.run(*experiment, "short", "--set-param", "train.mlp.epochs=1")
    assert reproduced.run("git", "diff", "--numstat", "--", "params.yaml").split()[:2] == ["1", "1"]
    reproduced.commit("One epoch")
    reproduced.run(*experiment, "bold", "--temp", "--set-param", "train.mlp.learning_rate=0.03")

    def mlps() -> dict[tuple[str, str], Any]:
        runs = [run.data for run in runs_of(reproduced.path) if run.data.params["model"] == "mlp"]
        return {(run.params["epochs"], run.params["learning_rate"]): run for run in runs}

    live = mlps()
    assert live.keys() == {("2", "0.001"), ("1", "0.001"), ("1", "0.03")}
    assert live["1", "0.001"].tags["dvc.exp_name"] == "short"
    forget(reproduced.path)
    reproduced.cli("sync", "--all-commits", "--experiments")
    synced = mlps()
    assert synced.keys() == live.keys()
    commits = [synced[key].tags["git.commit"] for key in (("2", "0.001"), ("1", "0.001"))]
    assert commits == reproduced.run("git", "rev-parse", "HEAD~1", "HEAD").split()
    tags, synced_tags = (
        {name: value for name, value in runs["1", "0.03"].tags.items() if not name.startswith(("source", "process."))}
        for runs in (live, synced)
    )
    assert tags == synced_tags
    assert {"dvc.exp_name": "bold", "git.dirty": "true", "mlflow.runName": "mlp · bold"}.items() <= tags.items()
    for runs in (live, synced):
        changed = {key: run.tags.get("changed") for key, run in runs.items()}
        own = {("1", "0.001"): "epochs 2 → 1", ("1", "0.03"): "learning_rate 0.001 → 0.03"}
        assert changed == {("2", "0.001"): None, **own}
    assert "accuracy" in synced["1", "0.03"].metrics
    assert "0 runs written" in reproduced.cli("sync", "--all-commits", "--experiments")


def test_ctrl_c_ends_a_training_and_leaves_the_weights_before_it(reproduced: Project) -> None:
    params = reproduced.params()
    params["train"]["mlp"]["epochs"] = 10_000
    reproduced.write_params(params)
    weights = (reproduced.path / "models/mlp/weights.safetensors").read_bytes()

    def interrupt(line: str, process: subprocess.Popen[str]) -> None:
        if line.startswith("epoch   2"):
            process.send_signal(signal.SIGINT)

    code, printed = reproduced.watched(["mnist-pipeline", "train", "mlp"], interrupt)
    assert code == 130
    assert "Traceback" not in printed
    assert [run.info.status for run in runs_of(reproduced.path) if run.data.params["epochs"] == "10000"] == ["KILLED"]
    assert (reproduced.path / "models/mlp/weights.safetensors").read_bytes() == weights
    assert list((reproduced.path / ".cache/checkpoints").glob("*.checkpoint"))


@pytest.mark.parametrize("arguments", [["--rev", "no-such-branch"], ["--if-changed", "--all-commits"]])
def test_a_sync_that_is_impossible_ends_in_one_line(reproduced: Project, arguments: list[str]) -> None:
    (line,) = reproduced.cli("sync", *arguments, code=1).splitlines()
    assert line.startswith("error: ")
