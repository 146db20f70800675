"""`dvc repro` and `dvc exp run` as people type them, in order, in one project."""

import csv
import json
import signal
import subprocess

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from safetensors import safe_open

STAGES = ("train", "evaluate", "export")


def rows(project, experiment: str = "mnist-pipeline") -> list[Run]:
    client = MlflowClient(f"sqlite:///{project.path}/mlruns/mlflow.db")
    found = client.get_experiment_by_name(experiment)
    return client.search_runs([found.experiment_id]) if found else []


def metrics(project, stage: str, model: str) -> dict:
    return json.loads(project.read(f"reports/{stage}/{model}/metrics.json"))


@pytest.fixture(scope="module")
def reproduced(reproduced):
    reproduced.commit("The first result")
    return reproduced


def test_every_stage_leaves_its_outputs(reproduced) -> None:
    for model in ("lenet", "mlp"):
        assert metrics(reproduced, "train", model)["epochs"] == 2
        assert 0 <= metrics(reproduced, "evaluate", model)["accuracy"] <= 1
        assert metrics(reproduced, "export", model)["differing_predictions"] == 0
        assert (reproduced.path / "models" / model / "model.onnx").stat().st_size > 1000
        card = reproduced.read(f"reports/card/{model}/model_card.md")
        assert f"{metrics(reproduced, 'evaluate', model)['accuracy']:.2%}" in card
    assert json.loads(reproduced.read("reports/validate/metrics.json"))["passed"]
    compared = json.loads(reproduced.read("reports/compare/metrics.json"))["pairs"]["lenet against mlp"]
    accuracies = [metrics(reproduced, "evaluate", model)["accuracy"] for model in ("lenet", "mlp")]
    assert [compared["accuracy"], compared["other_accuracy"]] == accuracies


def test_history_has_each_epoch_once(reproduced) -> None:
    history = list(csv.DictReader(reproduced.read("reports/train/lenet/history.csv").splitlines()))
    assert [row["epoch"] for row in history] == ["1", "2"]


def test_weights_say_what_they_are(reproduced) -> None:
    with safe_open(reproduced.path / "models/lenet/weights.safetensors", framework="np") as stored:
        description = json.loads(stored.metadata()["mnist_pipeline"])
    assert description["model"] == "lenet"
    assert f"md5: {description['data_md5']}" in reproduced.read("dvc.lock")


def test_one_row_for_each_model_with_the_numbers_of_all_stages(reproduced) -> None:
    by_name = {row.data.tags["mlflow.runName"].split("-")[0]: row for row in rows(reproduced)}
    assert by_name.keys() == {"lenet", "mlp"}
    assert len(rows(reproduced)) == 2
    for model, row in by_name.items():
        assert row.info.status == "FINISHED"
        assert row.data.metrics["test/accuracy"] == metrics(reproduced, "evaluate", model)["accuracy"]
        assert row.data.metrics["val/accuracy"] == metrics(reproduced, "train", model)["validation_accuracy"]
        assert "onnx/max_logit_difference" in row.data.metrics
        assert row.data.params["epochs"] == "2"
        assert f"md5: {row.data.tags['dvc.md5']}" in reproduced.read("dvc.lock")


def test_data_rows_and_comparisons_stand_apart(reproduced) -> None:
    assert {row.data.tags["dvc.stage"] for row in rows(reproduced, "mnist-pipeline-data")} == {"download", "validate"}
    (row,) = rows(reproduced, "mnist-pipeline-comparisons")
    assert {row.data.params[model] for model in ("lenet", "mlp")} == {row.info.run_name for row in rows(reproduced)}


def test_the_second_time_nothing_runs(reproduced) -> None:
    assert "Running stage" not in reproduced.run("dvc", "repro")
    assert reproduced.run("git", "status", "--porcelain") == ""


def test_results_name_each_model_and_their_comparison(reproduced) -> None:
    printed = reproduced.run("mnist-pipeline", "results")
    assert "lenet against mlp: " in printed
    assert "models/mlp/model.onnx" in printed


def test_dvc_shows_metrics_plots_and_parameters(reproduced) -> None:
    assert "reports/evaluate/lenet/metrics.json" in reproduced.run("dvc", "metrics", "show", "--md").replace("\\", "")
    reproduced.run("dvc", "plots", "show", "--out", "dvc_plots")
    page = reproduced.read("dvc_plots/index.html")
    assert "validation_accuracy" in page
    assert "missed_by_all.png" in page
    reproduced.run("rm", "-r", "dvc_plots")


def test_force_changes_no_byte_and_adds_no_row(reproduced) -> None:
    before = reproduced.read("dvc.lock")
    reproduced.run("dvc", "repro", "--force")
    assert reproduced.read("dvc.lock") == before
    assert len(rows(reproduced)) == 2


def test_the_models_are_compared_anew_when_either_predicts_anew(reproduced) -> None:
    """DVC knows the folder of evaluations, not the files in it, as a dependency."""
    for model in ("lenet", "mlp"):
        predictions = reproduced.path / "reports/evaluate" / model / "predictions.csv"
        whole = predictions.read_text()
        predictions.unlink()  # it is a link into the cache
        predictions.write_text(whole + " ")
        assert "reports/evaluate" in reproduced.run("dvc", "status", "compare")
        reproduced.run("dvc", "checkout", "--force")
    assert "Running stage" not in reproduced.run("dvc", "repro")


def test_an_experiment_adds_its_own_row(reproduced) -> None:
    reproduced.run("dvc", "exp", "run", "--name", "faster", "--set-param", "train.lenet.learning_rate=0.005")
    (row,) = [row for row in rows(reproduced) if row.data.params["learning_rate"] == "0.005"]
    assert row.data.tags["dvc.exp_name"] == "faster"
    assert "test/accuracy" in row.data.metrics
    assert len(rows(reproduced)) == 3
    assert "train.lenet.learning_rate" in reproduced.run("dvc", "params", "diff")
    reproduced.run("git", "checkout", "--", ".")
    reproduced.run("dvc", "checkout")


def test_without_its_server_a_stage_goes_on(reproduced) -> None:
    network = reproduced.path / "models/mlp/model.onnx"
    before = network.read_bytes()
    printed = reproduced.run("env", "MLFLOW_TRACKING_URI=http://127.0.0.1:1", "mnist-pipeline", "export", "mlp")
    (warning,) = [line for line in printed.splitlines() if line.startswith("warning:")]
    assert "http://127.0.0.1:1" in warning
    assert network.read_bytes() == before


def test_ctrl_c_ends_a_training_and_the_next_run_goes_on(reproduced) -> None:
    params = reproduced.params()
    params["train"]["mlp"]["epochs"] = 10_000
    reproduced.write_params(params)
    weights = (reproduced.path / "models/mlp/weights.safetensors").read_bytes()
    command = ["mnist-pipeline", "train", "mlp"]
    with subprocess.Popen(
        command, cwd=reproduced.path, env=reproduced.environment(), stderr=subprocess.PIPE, text=True
    ) as training:
        assert training.stderr is not None
        printed = [line for line, _ in zip(training.stderr, range(3), strict=False)]
        training.send_signal(signal.SIGINT)
        printed += training.stderr.readlines()
    assert training.returncode == 130
    assert "Traceback" not in "".join(printed)
    assert [row.info.status for row in rows(reproduced) if row.data.params["epochs"] == "10000"] == ["KILLED"]
    assert (reproduced.path / "models/mlp/weights.safetensors").read_bytes() == weights
    reproduced.run("git", "checkout", "--", ".")
    assert "Running stage" not in reproduced.run("dvc", "repro")


def test_a_mistyped_parameter_ends_in_one_line(reproduced) -> None:
    params = reproduced.params()
    params["train"]["lenet"]["learning_rat"] = params["train"]["lenet"].pop("learning_rate")
    reproduced.write_params(params)
    printed = reproduced.run("dvc", "repro", code=255)
    reproduced.run("git", "checkout", "--", ".")
    (line,) = [line for line in printed.splitlines() if line.startswith("error:")]
    assert "train.lenet.learning_rat" in line
    assert "Traceback" not in printed
