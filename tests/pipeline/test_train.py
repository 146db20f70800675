"""The train stage as a user runs it: killed, stopped, in several processes. On MPS and CUDA all of this is untested."""

import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pytest

from projects import Project
from tracked_content import client_of, runs_of

MANY = 400
"""Epochs that take longer than any of these tests waits."""
TRAIN = ("python", "src/mnist_pipeline", "train", "lenet")


@pytest.fixture(autouse=True)
def validated(project: Project) -> None:
    if not (project.path / "reports/validate/verdict.json").exists():
        project.run("dvc", "repro", "validate")


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


def hit_in_second_epoch(project: Project, blow: Callable[[psutil.Process], None]) -> tuple[int, str]:
    """Start a training and hit it when it has printed its second epoch; its exit code and all that it printed."""

    def on_line(line: str, process: subprocess.Popen[str]) -> None:
        if "epoch   2/" in line:
            blow(psutil.Process(process.pid))

    code, printed = project.watched(TRAIN, on_line)
    assert "Traceback" not in printed
    return code, printed


def test_a_killed_training_resumes_and_gives_the_same_bytes(project: Project) -> None:
    set_train(project, epochs=30)
    project.run(*TRAIN)
    undisturbed = results(project)
    shutil.rmtree(project.path / "models")
    shutil.rmtree(project.path / "mlruns")
    assert hit_in_second_epoch(project, psutil.Process.kill)[0] == -signal.SIGKILL
    printed = project.run(*TRAIN)
    assert results(project) == undisturbed
    assert checkpoints(project) == 0
    assert printed.count("epoch   1/") == 1
    complete, part = sorted(runs_of(project.path), key=lambda run: run.info.status)
    assert (complete.info.status, part.info.status) == ("FINISHED", "KILLED")
    curve = client_of(project.path).get_metric_history(complete.info.run_id, "validation_loss")
    assert sorted(point.step for point in curve) == list(range(1, 31))


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_stops_at_once_and_keeps_a_checkpoint(project: Project, processes: int) -> None:
    set_train(project, epochs=MANY, processes=processes)
    code, printed = hit_in_second_epoch(project, lambda process: process.send_signal(signal.SIGINT))
    assert code == 130
    assert printed.count("validation accuracy") <= 4
    assert checkpoints(project) == processes  # one of each training


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
    command[3] = "3"
    assert "train.processes = 2" in project.run(*command, code=1)


def test_a_killed_process_ends_the_others_and_all_resume_to_the_same_bytes(project: Project) -> None:
    """Of three, which is where DistributedDataParallel adds in another order after its first step."""
    set_train(project, epochs=12, processes=3)
    project.run(*TRAIN)
    undisturbed = results(project)
    shutil.rmtree(project.path / "models")
    before = checkpoints(project)
    code, printed = hit_in_second_epoch(
        project, lambda parent: max(parent.children(), key=psutil.Process.create_time).kill()
    )
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

    hit_in_second_epoch(project, kill)
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


def test_a_first_training_of_one_epoch_is_one_command(project: Project) -> None:
    set_train(project)
    project.run("dvc", "exp", "run", "--set-param", "train.mlp.epochs=1", "train@mlp")
    assert project.read("reports/train/mlp/history.csv").count("\n") == 2
