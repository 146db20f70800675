"""Another clone makes the same files, and so does a training that is killed at each step of its stage."""

import signal
import subprocess
from pathlib import Path

from projects import Project
from tracked_content import client_of, runs_of

EPOCHS = 30
MOMENTS = ("300 images", "epoch   1/", "epoch  11/", f"epoch  {EPOCHS}/")
"""What a training prints before its first checkpoint, after it, on its way, and as it writes its results."""


def test_another_clone_makes_the_same_files(first_result: Project, tmp_path: Path) -> None:
    mine = first_result.copy(tmp_path / "mine")
    mine.commit("The first result")
    other = mine.clone(tmp_path / "other")
    printed = other.run("env", "PYTHONHASHSEED=7", "dvc", "repro")  # in processes that share nothing with those before
    assert "train lenet: " in printed
    assert other.read("dvc.lock") == mine.read("dvc.lock")


def test_a_training_that_is_killed_at_each_of_its_steps_leaves_the_same_results(project: Project) -> None:
    project.run("dvc", "repro", "validate")
    params = project.params()
    params["train"]["lenet"]["epochs"] = EPOCHS
    project.write_params(params)
    command = ["mnist-pipeline", "train", "lenet"]
    for moment in MOMENTS:

        def kill(line: str, process: subprocess.Popen[str], moment: str = moment) -> None:
            if moment in line:
                process.kill()

        code, printed = project.watched(command, kill)
        assert code == -signal.SIGKILL, printed
    project.run(*command)
    results = [project.path / "models/lenet/weights.safetensors", project.path / "reports/train/lenet/history.csv"]
    disturbed = [path.read_bytes() for path in results]
    (finished,) = (run for run in runs_of(project.path) if run.info.status == "FINISHED")
    curve = client_of(project.path).get_metric_history(finished.info.run_id, "validation_loss")
    assert sorted(point.step for point in curve) == list(range(1, EPOCHS + 1))
    assert not list((project.path / ".cache/checkpoints").glob("*.checkpoint"))  # the next one starts afresh
    project.run(*command)
    assert [path.read_bytes() for path in results] == disturbed
