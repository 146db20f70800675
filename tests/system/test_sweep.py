"""A search as a user runs it: several processes, stopped and killed, resumed, shown in MLflow."""

import json
import os
import re
import signal
import subprocess

import pytest
import yaml

from projects import Project
from tracked_content import runs_of

SPACE = {
    "learning_rate": {"low": 0.001, "high": 0.03, "log": True},
    "batch_size": {"low": 16, "high": 64, "log": False},
}
COMMAND = ("mnist-pipeline", "sweep", "lenet", "--workers", "2")
TRIAL = re.compile(r"^trial +(\d+) +(?:\S+%|no epoch) +(complete|pruned|diverged|stopped) ", re.MULTILINE)


@pytest.fixture(autouse=True)
def ready(project: Project) -> None:
    if not (project.path / "data/raw").exists():
        project.run("dvc", "repro", "download")
        (project.path / "sweeps/lenet.yaml").write_text(yaml.safe_dump(SPACE))


def set_epochs(project: Project, epochs: int) -> None:
    params = project.params()
    params["train"]["lenet"]["epochs"] = epochs
    params["train"]["lenet"]["augmentation"] |= {"rotation": 0, "shear": 0}  # the labels are angles
    project.write_params(params)


def trials(printed: str, *states: str) -> list[int]:
    return [int(number) for number, state in TRIAL.findall(printed) if not states or state in states]


def test_trials_run_in_all_workers_below_their_study_in_mlflow(project: Project) -> None:
    set_epochs(project, 4)
    printed = project.run(*COMMAND, "--trials", "5")
    numbers = sorted(trials(printed))
    assert numbers in ([*range(5)], [*range(6)])  # a worker may have begun one when the other ended the fifth
    runs = runs_of(project.path, "mnist-pipeline-sweeps")
    (study,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    below = {run.info.run_name: run for run in runs if run.data.tags.get("mlflow.parentRunId") == study.info.run_id}
    assert sorted(below) == [f"trial {number}" for number in numbers]
    best = below[f"trial {study.data.tags['sweep.best_trial']}"]
    assert best.info.status == "FINISHED"
    complete = [run for run in below.values() if run.data.tags["sweep.state"] == "complete"]
    accuracies = [run.data.metrics["validation_accuracy"] for run in (study, best)]
    assert accuracies == [max(run.data.metrics["validation_accuracy"] for run in complete)] * 2
    shown = {key: yaml.safe_load(best.data.params[key]) for key in SPACE}
    assert shown == json.loads(study.data.tags["sweep.best"])
    assert not runs_of(project.path, "mnist-pipeline")  # that experiment holds the models that DVC keeps
    assert not trials(project.cli(*COMMAND[1:], "--trials", "5"))


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_a_search_that_was_stopped_resumes(project: Project, blow: signal.Signals) -> None:
    set_epochs(project, 30 + blow)
    command = [*COMMAND, "--trials", "4"]
    hit: list[str] = []

    def on_line(line: str, process: subprocess.Popen[str]) -> None:
        if TRIAL.match(line) and not hit:
            hit.append(line)
            os.killpg(process.pid, blow)

    code, stopped = project.watched(command, on_line)
    assert code == (130 if blow == signal.SIGINT else -signal.SIGKILL)
    assert "Traceback" not in stopped
    done = len(trials(stopped, "complete", "pruned"))
    assert done >= 1
    resumed = len(trials(project.run(*command), "complete", "pruned"))
    assert 4 - done <= resumed <= 5 - done
    assert not [run for run in runs_of(project.path, "mnist-pipeline-sweeps") if run.info.status == "RUNNING"]
