"""A search as a user runs it: several processes, stopped and killed, gone on with, shown in MLflow, written back."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from projects import Project
from tracked_content import rows_of

SPACE = {
    "learning_rate": {"low": 0.001, "high": 0.03, "log": True},
    "batch_size": {"low": 16, "high": 64, "log": False},
    "optimizer": {"choices": ["adamw", "sgd"]},
    "augmentation.elastic": {"low": 0.0, "high": 1.0, "log": False},
}
COMMAND = ("mnist-pipeline", "sweep", "lenet", "--workers", "2")
BEGUN = r"^trial +(\d+) +(?:\S+%|no epoch) +"
TRIAL = re.compile(BEGUN + r"(complete|pruned|diverged|stopped) ", re.MULTILINE)


@pytest.fixture(autouse=True)
def ready(project: Project) -> None:
    if not (project.path / "data/raw").exists():
        project.run("dvc", "repro", "download")
        set_sweep(project, SPACE)


def set_sweep(project: Project, space: dict, epochs: int = 4) -> None:
    params = project.params()
    recipe = params["train"]["lenet"]
    recipe |= {"epochs": epochs, "ema_decay": 0.5}  # a longer average would not come to learn in so few steps
    recipe["augmentation"] |= {"rotation": 0, "shear": 0}  # the labels are angles
    params["sweep"] |= {"random_trials": 3, "unpruned_epochs": 1, "lenet": space}
    project.write_params(params)


def trials(printed: str, *states: str) -> list[int]:
    return [int(number) for number, state in TRIAL.findall(printed) if not states or state in states]


def test_trials_run_in_all_workers_and_stand_below_their_study_in_mlflow(project: Project) -> None:
    printed = project.run(*COMMAND, "--trials", "5")
    assert sorted(trials(printed)) == [0, 1, 2, 3, 4]
    rows = rows_of(project.path, "mnist-pipeline-sweeps")
    (study,) = [row for row in rows if "mlflow.parentRunId" not in row.data.tags]
    below = {row.info.run_name: row for row in rows if row.data.tags.get("mlflow.parentRunId") == study.info.run_id}
    assert sorted(below) == [f"trial {number}" for number in range(5)]
    best = below[f"trial {study.data.tags['sweep.best_trial']}"]
    assert best.info.status == "FINISHED"
    assert best.data.metrics["val/accuracy"] == study.data.metrics["val/accuracy"]
    complete = [row for row in below.values() if row.data.tags["sweep.state"] == "complete"]
    assert max(row.data.metrics["val/accuracy"] for row in complete) == best.data.metrics["val/accuracy"]
    told = {key: yaml.safe_load(best.data.params[key]) for key in SPACE}
    assert told == json.loads(study.data.tags["sweep.best"])
    assert not rows_of(project.path, "mnist-pipeline")  # that experiment holds the models that DVC keeps


def test_the_same_command_goes_on_to_more_trials_and_writes_the_best(project: Project) -> None:
    before = project.read("params.yaml")
    assert not trials(project.run(*COMMAND, "--trials", "5"))
    printed = project.run(*COMMAND, "--trials", "6", "--write")
    assert "5 of 6 trials are done" in printed
    assert trials(printed) == [5]
    rows = rows_of(project.path, "mnist-pipeline-sweeps")
    (study,) = [row for row in rows if "mlflow.parentRunId" not in row.data.tags]
    best = json.loads(study.data.tags["sweep.best"])
    written = project.params()["train"]["lenet"]
    assert {key: written[key] for key in ("learning_rate", "batch_size", "optimizer")} == {
        key: best[key] for key in ("learning_rate", "batch_size", "optimizer")
    }
    assert written["augmentation"]["elastic"] == best["augmentation.elastic"]
    changed = {line for line in project.read("params.yaml").splitlines() if line not in before.splitlines()}
    assert len(changed) <= len(SPACE)
    assert "6 of 6 trials are done" in project.run(*COMMAND, "--trials", "6")  # what is searched makes no other study


def test_a_search_of_other_parameters_is_another(project: Project) -> None:
    set_sweep(project, SPACE, epochs=3)
    assert trials(project.run(*COMMAND, "--trials", "1")) == [0]


def test_bad_trials_are_pruned_or_told_as_diverged(project: Project) -> None:
    set_sweep(project, {"learning_rate": {"choices": [0.01, 0.0101, 0.0102, 1e-9, 1e30]}}, epochs=8)
    printed = project.run("mnist-pipeline", "sweep", "lenet", "--trials", "16")
    for number, state, rate in re.findall(BEGUN + r"(\w+) +learning_rate=(\S+)$", printed, re.MULTILINE):
        assert (state == "diverged") == (rate == "1e+30"), number
    assert trials(printed, "diverged")
    assert trials(printed, "pruned")
    states = {row.data.tags.get("sweep.state") for row in rows_of(project.path, "mnist-pipeline-sweeps")}
    assert {"complete", "pruned", "diverged"} <= states


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_a_search_that_was_stopped_goes_on(project: Project, blow: signal.Signals) -> None:
    set_sweep(project, SPACE, epochs=30 + blow)
    command = [*COMMAND, "--trials", "4"]
    told: list[str] = []

    def hear(line: str, process: subprocess.Popen[str]) -> None:
        if TRIAL.match(line) and not told:
            told.append(line)
            os.killpg(process.pid, blow)

    code, stopped = project.watched(command, hear)
    assert code == (130 if blow == signal.SIGINT else -signal.SIGKILL)
    assert "Traceback" not in stopped
    done = len(trials(stopped, "complete", "pruned"))
    assert done >= 1
    printed = project.run(*command)
    assert f"{done} of 4 trials are done" in printed
    assert len(trials(printed, "complete", "pruned")) == 4 - done
    assert not [row for row in rows_of(project.path, "mnist-pipeline-sweeps") if row.info.status == "RUNNING"]


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"learning_rat": {"choices": [1, 2]}}, "train.lenet.learning_rat is not a known key"),
        ({"augmentation.elastic.x": {"choices": [1, 2]}}, "train.lenet.augmentation.elastic.x is not a known key"),
        ({"epochs": {"low": 0, "high": 3, "log": False}}, "train.lenet.epochs = 0"),
        ({"optimizer": {"choices": ["adamw", "adam"]}}, "train.lenet.optimizer = 'adam'"),
        ({"epochs": {"low": 3, "high": 3, "log": False}}, "low 3 must be less than high 3"),
        ({"weight_decay": {"low": 0, "high": 3, "log": True}}, "low 0 must be more than 0"),
        ({"architecture.activation": {"choices": ["relu", "gelu"]}}, "sweep.lenet.architecture.activation: activation"),
        ({}, "sweep.lenet = {}"),
    ],
)
def test_a_wrong_space_is_told_before_anything_is_tried(project: Project, space: dict, told: str) -> None:
    set_sweep(project, space)
    assert told in project.run(*COMMAND, code=1)


def test_values_that_are_impossible_together_cost_their_trial_alone(project: Project) -> None:
    set_sweep(
        project, {"epochs": {"low": 2, "high": 4, "log": False}, "warmup_epochs": {"low": 0, "high": 3, "log": False}}
    )
    printed = project.run("mnist-pipeline", "sweep", "lenet", "--trials", "12")
    told = re.findall(BEGUN + r"(\w+) +epochs=(\d) +warmup_epochs=(\d)$", printed, re.MULTILINE)
    assert len(told) == 12
    assert {end == "impossible" for _, end, *_ in told} == {True, False}
    for _, end, epochs, warmup_epochs in told:
        assert (end == "impossible") == (int(warmup_epochs) >= int(epochs))
    assert re.search(r"^trial \d+: params.yaml: .*warmup_epochs", printed, re.MULTILINE)


def test_a_search_without_data_leaves_nothing_behind(project: Project, tmp_path: Path) -> None:
    empty = project.clone(tmp_path / "empty")
    printed = empty.run("mnist-pipeline", "sweep", "lenet", "--trials", "1", code=1)
    assert "run the download stage first" in printed
    assert "Traceback" not in printed
    assert not (empty.path / "mlruns").exists()


def test_a_folder_that_cannot_be_made_is_told(project: Project, tmp_path: Path) -> None:
    other = project.clone(tmp_path / "other")
    shutil.copytree(project.path / "data/raw", other.path / "data/raw")
    (other.path / "mlruns").write_text("no folder")
    printed = other.run("mnist-pipeline", "sweep", "lenet", "--trials", "1", code=1)
    assert "mlruns/sweeps.db: cannot be written" in printed
    assert "Traceback" not in printed


def test_a_storage_that_is_not_there_is_told_without_its_password(project: Project) -> None:
    set_sweep(project, SPACE)
    address = "postgresql+psycopg://me:secret@127.0.0.1:1/trials"
    printed = project.run(*COMMAND, "--storage", address, code=1)
    assert "error: --storage: cannot be used" in printed
    assert "secret" not in printed
    assert "Traceback" not in printed


def test_mlflow_that_fails_costs_the_search_nothing(project: Project) -> None:
    set_sweep(project, SPACE, epochs=2)
    project = Project(project.path, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"})
    printed = project.run("mnist-pipeline", "sweep", "lenet", "--trials", "2")
    assert sorted(trials(printed)) == [0, 1]
    assert "the search goes on" in printed
