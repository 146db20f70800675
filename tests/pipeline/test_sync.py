"""`mnist-pipeline sync` shows MLflow what DVC has recorded of real runs, whatever happened to MLflow."""

import shutil

import pytest

from tracked_content import forget, runs_of, shown

NAMES = ("mnist-pipeline", "mnist-pipeline-data", "mnist-pipeline-comparisons")


def sources(project) -> set[str]:
    return {run.data.tags["source"] for name in NAMES for run in runs_of(project.path, name)}


def rates(project) -> set[str]:
    """The learning rates of the MLPs that MLflow shows."""
    return {run.data.params["learning_rate"] for run in runs_of(project.path) if run.data.params["model"] == "mlp"}


@pytest.fixture(scope="module")
def reproduced(reproduced):
    remote = str(reproduced.path.parent / "remote")
    reproduced.run("dvc", "remote", "add", "--local", "--default", "elsewhere", remote)
    return reproduced


def test_synced_runs_equal_live_ones_field_by_field(reproduced) -> None:
    live = shown(reproduced.path)
    assert (len(live), sources(reproduced)) == (5, {"stage"})
    assert max(len(run.data.metrics) for name in NAMES for run in runs_of(reproduced.path, name)) <= 30
    forget(reproduced.path)
    assert "5 runs written, 0 complete, 0 left out" in reproduced.cli("sync")
    assert sources(reproduced) == {"sync"}
    assert shown(reproduced.path) == live
    assert "0 runs written, 5 complete, 0 left out" in reproduced.cli("sync")
    assert reproduced.cli("sync", "--if-changed") == ""


def test_commits_and_experiments_are_shown_with_their_origin(reproduced) -> None:
    reproduced.commit("A learning rate of 0.001")
    params = reproduced.params()
    params["train"]["mlp"]["learning_rate"] = 0.02
    reproduced.write_params(params)
    reproduced.run("dvc", "repro")
    reproduced.commit("A learning rate of 0.02")
    reproduced.run("dvc", "exp", "run", "--temp", "--name", "bold", "--set-param", "train.mlp.learning_rate=0.03")
    (live,) = [run for run in runs_of(reproduced.path) if run.data.params["learning_rate"] == "0.03"]
    first, second = (reproduced.run("git", "rev-parse", name).strip() for name in ("HEAD~1", "HEAD"))
    forget(reproduced.path)
    reproduced.cli("sync", "--rev", "HEAD~1")
    assert rates(reproduced) == {"0.001", "0.02"}
    forget(reproduced.path)
    reproduced.cli("sync", "--all-commits", "--experiments")
    found = {run.data.params["learning_rate"]: run for run in runs_of(reproduced.path)}
    assert found["0.001"].data.tags["git.commit"] == first
    assert found["0.02"].data.tags["git.commit"] == second
    tags, synced_tags = (
        {name: value for name, value in run.data.tags.items() if not name.startswith(("source", "process."))}
        for run in (live, found["0.03"])
    )
    assert tags == synced_tags
    assert {"dvc.exp_name": "bold", "git.dirty": "true"}.items() <= tags.items()
    mlps = {run.info.run_name for run in runs_of(reproduced.path) if run.data.params["model"] == "mlp"}
    assert {run.data.params["mlp"] for run in runs_of(reproduced.path, NAMES[2])} == mlps
    assert "0 runs written" in reproduced.cli("sync", "--all-commits", "--experiments")


@pytest.mark.parametrize("arguments", [["--pull"], ["--rev", "no-such-branch"], ["--if-changed", "--all-commits"]])
def test_what_cannot_be_done_ends_in_one_line(reproduced, arguments: list[str]) -> None:
    shutil.rmtree(reproduced.path / ".dvc/cache/files", ignore_errors=True)
    for local in (["--local"], []):
        reproduced.run("dvc", "remote", "default", *local, "--unset", code=None)
    printed = reproduced.cli("sync", *arguments, code=1)
    assert printed.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in printed
