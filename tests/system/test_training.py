"""The train stage as a user runs it: killed, stopped, in several processes. On MPS and CUDA all of this is untested."""

import signal
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pytest

from projects import Project
from tracked_content import client_of, runs_of

EPOCHS = 30
MOMENTS = ("300 images", "epoch   1/", "epoch  11/", f"epoch  {EPOCHS}/")
"""What a training prints before its first checkpoint, after it, on its way, and as it writes its results."""
MANY = 400
"""Epochs that take longer than any of these tests waits."""
TRAIN = ("python", "src/mnist_pipeline", "train", "lenet")


@pytest.fixture(scope="module")
def project(project: Project) -> Project:
    project.run("dvc", "repro", "validate")
    return project


def set_train(project: Project, epochs: int = 2, processes: int = 1) -> None:
    params = project.params()
    params["train"] |= {"processes": processes}
    params["train"]["lenet"] |= {"epochs": epochs}
    project.write_params(params)


def results(project: Project) -> tuple[bytes, str]:
    weights = project.path / "models/lenet/weights.safetensors"
    return weights.read_bytes(), project.read("reports/train/lenet/history.csv")


def numbers(project: Project) -> Any:
    return np.loadtxt(project.path / "reports/train/lenet/history.csv", delimiter=",", skiprows=1)


def checkpoints(project: Project) -> int:
    return len(list((project.path / ".cache/checkpoints").glob("*.checkpoint")))


def hit(project: Project, blow: Callable[[psutil.Process], None], moment: str = "epoch   2/") -> tuple[int, str]:
    """Start a training and hit it when it has printed the moment; its exit code and all that it printed."""

    def on_line(line: str, process: subprocess.Popen[str]) -> None:
        if moment in line:
            blow(psutil.Process(process.pid))

    code, printed = project.watched(TRAIN, on_line)
    assert "Traceback" not in printed
    return code, printed


def test_a_training_that_is_killed_at_each_of_its_steps_leaves_the_same_results(project: Project) -> None:
    set_train(project, epochs=EPOCHS)
    for moment in MOMENTS:
        assert hit(project, psutil.Process.kill, moment)[0] == -signal.SIGKILL
    assert project.run(*TRAIN).count("epoch   1/") == 1
    disturbed = results(project)
    assert checkpoints(project) == 0  # the next one starts afresh
    runs = runs_of(project.path)
    assert {run.info.status for run in runs} == {"FINISHED", "KILLED"}
    (finished,) = (run for run in runs if run.info.status == "FINISHED")
    curve = client_of(project.path).get_metric_history(finished.info.run_id, "validation_loss")
    assert sorted(point.step for point in curve) == list(range(1, EPOCHS + 1))
    project.run(*TRAIN)
    assert results(project) == disturbed


def test_ctrl_c_stops_all_processes_at_once_and_keeps_a_checkpoint(project: Project) -> None:
    set_train(project, epochs=MANY, processes=2)
    code, printed = hit(project, lambda process: process.send_signal(signal.SIGINT))
    assert code == 130
    assert printed.count("validation accuracy") <= 4
    assert checkpoints(project) == 1


def test_two_processes_give_what_one_gives_to_rounding(project: Project) -> None:
    """300 images in batches of 32: the last has 12. Augmentation, sums and the mean of gradients are all shared."""
    set_train(project, epochs=3)
    project.run(*TRAIN)
    alone, runs = numbers(project), len(runs_of(project.path))
    set_train(project, epochs=3, processes=2)
    printed = project.run(*TRAIN)
    assert "in 2 processes" in printed
    assert printed.count("epoch   1/3") == 1
    assert len(runs_of(project.path)) == runs + 1
    np.testing.assert_allclose(numbers(project), alone, rtol=1e-3)


def test_torchrun_starts_it_too(project: Project) -> None:
    set_train(project, processes=2)
    command = ["torchrun", "--standalone", "--nproc-per-node", "2", *TRAIN[1:]]
    assert "in 2 processes" in project.run(*command)


def test_a_killed_process_ends_the_others_and_all_resume_to_the_same_bytes(project: Project) -> None:
    """Of three, which is where DistributedDataParallel adds in another order after its first step."""
    set_train(project, epochs=12, processes=3)
    project.run(*TRAIN)
    undisturbed, before = results(project), checkpoints(project)
    code, printed = hit(project, lambda parent: max(parent.children(), key=psutil.Process.create_time).kill())
    assert code == 1
    assert "SIGKILL" in printed
    assert checkpoints(project) == before + 1
    project.run(*TRAIN)
    assert results(project) == undisturbed


def test_processes_end_when_what_started_them_is_killed(project: Project) -> None:
    set_train(project, epochs=MANY, processes=2)
    members: list[psutil.Process] = []

    def kill(parent: psutil.Process) -> None:
        members.extend(parent.children())
        parent.kill()

    hit(project, kill)
    _, alive = psutil.wait_procs(members, timeout=60)
    assert len(members) == 2
    assert not alive


def test_processes_run_the_code_of_an_experiment(project: Project) -> None:
    """In the copy that DVC makes, also where the installed package is another."""
    set_train(project, processes=2)
    stage = project.path / "src/mnist_pipeline/stages/train.py"
    source = stage.read_text()
    stage.write_text(source.replace('f" in {distributed', 'f" of the experiment in {distributed'))
    printed = project.run("dvc", "exp", "run", "--temp", "train@lenet", "--set-param", "train.lenet.learning_rate=0.02")
    stage.write_text(source)
    assert "of the experiment in 2 processes" in printed
