"""The train stage as a user runs it: killed, stopped, in several processes."""

import csv
import io
import shutil
import signal
import subprocess
from collections.abc import Callable

import psutil
import pytest

from projects import Project
from tracked_content import client_of, rows_of

MANY = 400
"""Epochs that take longer than any of these tests waits."""


@pytest.fixture(autouse=True)
def validated(project: Project) -> None:
    if not (project.path / "reports/validate/metrics.json").exists():
        project.run("dvc", "repro", "validate")


def set_train(project: Project, **values: int) -> None:
    params = project.params()
    epochs = values.pop("epochs", 2)
    params["train"] |= values
    params["train"]["lenet"]["epochs"] = epochs
    project.write_params(params)


def history(project: Project) -> list[dict[str, float]]:
    text = project.read("reports/train/lenet/history.csv")
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(io.StringIO(text))]


def strike(project: Project, blow: Callable[[psutil.Process], None]) -> tuple[int, str]:
    """Starts a training, lets `blow` hit it when it has told its second epoch; its exit code and what it printed."""

    def hear(line: str, process: subprocess.Popen[str]) -> None:
        if "epoch   2/" in line:
            blow(psutil.Process(process.pid))

    return project.watched(["mnist-pipeline", "train", "lenet"], hear)


def test_a_killed_training_goes_on_and_gives_the_same_bytes(project: Project) -> None:
    set_train(project, processes=1, epochs=30)
    project.run("mnist-pipeline", "train", "lenet")
    weights = project.path / "models/lenet/weights.safetensors"
    undisturbed, told = weights.read_bytes(), history(project)
    shutil.rmtree(project.path / "models")
    shutil.rmtree(project.path / "mlruns")
    code, _ = strike(project, psutil.Process.kill)
    assert code == -signal.SIGKILL
    printed = project.run("mnist-pipeline", "train", "lenet")
    assert weights.read_bytes() == undisturbed
    assert history(project) == told
    assert not list((project.path / ".cache/checkpoints").glob("*.checkpoint"))
    assert printed.count("epoch   1/") == 1
    whole, part = sorted(rows_of(project.path), key=lambda row: row.info.status)
    assert (whole.info.status, part.info.status) == ("FINISHED", "KILLED")
    client = client_of(project.path)
    curve = client.get_metric_history(whole.info.run_id, "val/loss")
    assert sorted(point.step for point in curve) == list(range(1, 31))


def test_ctrl_c_stops_at_once_and_the_same_command_goes_on(project: Project) -> None:
    set_train(project, processes=1, epochs=MANY)
    code, printed = strike(project, lambda process: process.send_signal(signal.SIGINT))
    assert code == 130
    assert printed.count("validation accuracy") <= 4  # it was told of the second epoch when it was hit
    assert "Traceback" not in printed
    assert "the same command goes on from there" in printed
    assert list((project.path / ".cache/checkpoints").glob("*.checkpoint"))


def test_two_processes_give_what_one_gives_to_rounding(project: Project) -> None:
    """300 images in batches of 32: the last has 12. Augmentation, sums and the mean of gradients are all shared."""
    set_train(project, processes=1, epochs=3)
    project.run("mnist-pipeline", "train", "lenet")
    alone, rows = history(project), len(rows_of(project.path))
    set_train(project, processes=2, epochs=3)
    printed = project.run("mnist-pipeline", "train", "lenet")
    together = history(project)
    assert len(rows_of(project.path)) == rows + 1
    assert "in 2 processes" in printed
    assert printed.count("epoch   1/3") == 1
    for one, two in zip(alone, together, strict=True):
        assert two == pytest.approx(one, rel=1e-3)


def test_torchrun_starts_it_too(project: Project) -> None:
    set_train(project, processes=2)
    command = ["torchrun", "--standalone", "--nproc-per-node", "2", "-m", "mnist_pipeline", "train", "lenet"]
    assert "in 2 processes" in project.run(*command)
    command[3] = "3"
    assert "train.processes = 2, but torchrun started 3: make them equal" in project.run(*command, code=1)


def test_a_killed_process_ends_the_others_and_all_go_on_to_the_same_bytes(project: Project) -> None:
    """Of three, which is where DistributedDataParallel adds in another order after its first step."""
    set_train(project, processes=3, epochs=12)
    project.run("mnist-pipeline", "train", "lenet")
    weights = project.path / "models/lenet/weights.safetensors"
    undisturbed, told = weights.read_bytes(), history(project)
    weights.unlink()
    code, printed = strike(project, lambda parent: max(parent.children(), key=psutil.Process.create_time).kill())
    assert code == 1
    assert "of 3 ended with SIGKILL, and with it the others" in printed
    assert "Traceback" not in printed
    assert list((project.path / ".cache/checkpoints").glob("*.checkpoint"))
    project.run("mnist-pipeline", "train", "lenet")
    assert weights.read_bytes() == undisturbed
    assert history(project) == told


def test_processes_end_when_what_started_them_is_killed(project: Project) -> None:
    set_train(project, processes=2, epochs=MANY)
    members: list[psutil.Process] = []

    def kill(parent: psutil.Process) -> None:
        members.extend(parent.children())
        parent.kill()

    strike(project, kill)
    _, alive = psutil.wait_procs(members, timeout=60)
    assert len(members) == 2
    assert not alive


def test_a_loss_that_is_no_number_ends_with_its_step(project: Project) -> None:
    set_train(project, processes=1)
    command = ["dvc", "exp", "run", "--set-param", "train.lenet.learning_rate=1e30", "train@lenet"]
    printed = project.run(*command, code=None)
    assert "error: the training loss became" in printed
    assert "lower learning_rate" in printed
