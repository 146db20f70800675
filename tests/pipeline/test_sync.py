"""`mnist-pipeline sync` tells MLflow what DVC knows, whatever happened to MLflow."""

import shutil
import time

import pytest
import yaml

from tracked_content import rows_of, shown

COMPARISONS = "mnist-pipeline-comparisons"


def forget(project) -> None:
    shutil.rmtree(project.path / "mlruns")


def sources(project) -> set[str]:
    names = ("mnist-pipeline", "mnist-pipeline-data", COMPARISONS)
    return {row.data.tags["source"] for name in names for row in rows_of(project.path, name)}


def rates(project) -> set[str]:
    """The learning rates of the MLPs that MLflow shows."""
    return {row.data.params["learning_rate"] for row in rows_of(project.path) if row.data.params["model"] == "mlp"}


def locked_weights(text: str) -> set[str]:
    stages = yaml.safe_load(text)["stages"].items()
    outs = [out for name, stage in stages if name.startswith("train@") for out in stage["outs"]]
    return {out["md5"] for out in outs if out["path"].endswith("weights.safetensors")}


@pytest.fixture(scope="module")
def reproduced(reproduced):
    remote = str(reproduced.path.parent / "remote")
    reproduced.run("dvc", "remote", "add", "--local", "--default", "elsewhere", remote)
    return reproduced


def test_synced_rows_equal_live_ones_field_by_field(reproduced) -> None:
    live = shown(reproduced.path)
    assert len(live) == 5
    assert sources(reproduced) == {"stage"}
    forget(reproduced)
    assert "sync: 5 rows written, 0 complete, 0 left out" in reproduced.run("mnist-pipeline", "sync")
    assert sources(reproduced) == {"sync"}
    assert shown(reproduced.path) == live


def test_a_second_time_nothing_is_written(reproduced) -> None:
    before = {row.info.run_id for row in rows_of(reproduced.path)}
    assert "sync: 0 rows written, 5 complete, 0 left out" in reproduced.run("mnist-pipeline", "sync")
    assert {row.info.run_id for row in rows_of(reproduced.path)} == before


def test_nothing_is_said_or_opened_where_nothing_changed(reproduced) -> None:
    database = reproduced.path / "mlruns/mlflow.db"
    before = database.stat().st_mtime_ns
    assert reproduced.run("mnist-pipeline", "sync", "--if-changed") == ""
    assert database.stat().st_mtime_ns == before


def test_a_row_that_lost_a_part_gets_it_back(reproduced) -> None:
    whole = shown(reproduced.path)
    forget(reproduced)
    lock = reproduced.read("dvc.lock")
    content = yaml.safe_load(lock)
    stages = content["stages"]
    content["stages"] = {name: stage for name, stage in stages.items() if not name.startswith(("evaluate", "export"))}
    (reproduced.path / "dvc.lock").write_text(yaml.safe_dump(content))
    reproduced.run("mnist-pipeline", "sync")
    assert not any("test/accuracy" in row.data.metrics for row in rows_of(reproduced.path))
    (reproduced.path / "dvc.lock").write_text(lock)
    assert "sync: 3 rows written, 2 complete" in reproduced.run("mnist-pipeline", "sync")
    assert shown(reproduced.path) == whole


def test_a_comparison_of_older_predictions_has_no_row(reproduced) -> None:
    lock = reproduced.read("dvc.lock")
    content = yaml.safe_load(lock)
    (out,) = [out for out in content["stages"]["evaluate@mlp"]["outs"] if out["path"].endswith("predictions.csv")]
    out["md5"] = content["stages"]["evaluate@mlp"]["outs"][0]["md5"]
    (reproduced.path / "dvc.lock").write_text(yaml.safe_dump(content))
    whole = rows_of(reproduced.path, COMPARISONS)
    forget(reproduced)
    assert "sync: 4 rows written" in reproduced.run("mnist-pipeline", "sync")
    assert rows_of(reproduced.path, COMPARISONS) == []
    (reproduced.path / "dvc.lock").write_text(lock)
    assert "sync: 1 rows written" in reproduced.run("mnist-pipeline", "sync")
    assert [row.data.params for row in rows_of(reproduced.path, COMPARISONS)] == [row.data.params for row in whole]


def test_back_and_forth_through_the_run_cache_leaves_every_row(reproduced) -> None:
    reproduced.commit("The first result")
    params = reproduced.params()
    params["train"]["mlp"]["learning_rate"] = 0.02
    reproduced.write_params(params)
    reproduced.run("dvc", "repro")
    reproduced.commit("The second result")
    params["train"]["mlp"]["learning_rate"] = 0.001
    reproduced.write_params(params)
    forget(reproduced)
    assert "is cached" in reproduced.run("dvc", "repro")
    reproduced.run("mnist-pipeline", "sync", "--if-changed")
    assert rates(reproduced) == {"0.001"}
    reproduced.run("git", "checkout", "--", ".")
    reproduced.run("dvc", "checkout")
    reproduced.run("mnist-pipeline", "sync", "--if-changed")
    assert rates(reproduced) == {"0.001", "0.02"}


def test_all_commits_and_experiments_are_told(reproduced) -> None:
    reproduced.run("dvc", "exp", "run", "--name", "bold", "--set-param", "train.mlp.learning_rate=0.03")
    (live,) = [row for row in rows_of(reproduced.path) if row.data.params["learning_rate"] == "0.03"]
    reproduced.run("git", "checkout", "--", ".")
    reproduced.run("dvc", "checkout")
    first, second = (reproduced.run("git", "rev-parse", name).strip() for name in ("HEAD~1", "HEAD"))
    forget(reproduced)
    reproduced.run("mnist-pipeline", "sync", "--rev", "HEAD~1")
    assert rates(reproduced) == {"0.001", "0.02"}
    forget(reproduced)
    reproduced.run("mnist-pipeline", "sync", "--all-commits", "--experiments")
    by_rate = {
        row.data.params["learning_rate"]: row for row in rows_of(reproduced.path) if row.data.params["model"] == "mlp"
    }
    assert by_rate.keys() == {"0.001", "0.02", "0.03"}
    assert by_rate["0.001"].data.tags["git.commit"] == first
    assert by_rate["0.02"].data.tags["git.commit"] == second
    assert by_rate["0.03"].data.tags | {"source": "stage"} == live.data.tags
    compared = {row.data.params["mlp"] for row in rows_of(reproduced.path, COMPARISONS)}
    assert compared == {row.info.run_name for row in by_rate.values()}
    (lenet,) = [row for row in rows_of(reproduced.path) if row.data.params["model"] == "lenet"]
    assert lenet.data.tags["git.commit"] == first


def test_every_model_of_the_history_is_joined_by_its_md5(reproduced) -> None:
    recorded = {
        md5
        for commit in ("HEAD", "HEAD~1")
        for md5 in locked_weights(reproduced.run("git", "show", f"{commit}:dvc.lock"))
    }
    assert len(recorded) == 3
    assert recorded <= {row.data.tags["dvc.md5"] for row in rows_of(reproduced.path)}
    assert "0 rows written" in reproduced.run("mnist-pipeline", "sync", "--all-commits", "--experiments")


def test_what_is_only_in_the_remote_is_named_or_fetched(reproduced) -> None:
    reproduced.run("dvc", "push", "--all-commits")
    shutil.rmtree(reproduced.path / ".dvc/cache/files")
    forget(reproduced)
    printed = reproduced.run("mnist-pipeline", "sync", "--rev", "HEAD~1")
    assert (
        "sync: left out train@mlp, the work tree: not in DVC's cache: data/raw, models/mlp/weights.safetensors, "
        in printed
    )
    assert rows_of(reproduced.path) == []
    reproduced.run("mnist-pipeline", "sync", "--rev", "HEAD~1", "--pull")
    assert rates(reproduced) == {"0.001", "0.02"}


def test_a_failing_remote_ends_in_one_line(reproduced) -> None:
    shutil.rmtree(reproduced.path / ".dvc/cache/files")
    reproduced.run("dvc", "remote", "default", "--local", "--unset")
    reproduced.run("dvc", "remote", "default", "--unset")
    printed = reproduced.run("mnist-pipeline", "sync", "--pull", code=1)
    assert printed.startswith("error: the DVC remote gives no files: ")
    assert "Traceback" not in printed


def test_the_short_cut_goes_with_no_other_option(reproduced) -> None:
    printed = reproduced.run("mnist-pipeline", "sync", "--if-changed", "--all-commits", code=1)
    assert printed.startswith("error: --if-changed looks at the work tree alone")


def test_an_unknown_commit_ends_in_one_line(reproduced) -> None:
    printed = reproduced.run("mnist-pipeline", "sync", "--rev", "no-such-branch", code=1)
    assert printed == "error: no-such-branch: git knows no such commit: git log and git tag list those there are\n"


def test_an_unreachable_server_is_an_error_or_at_the_end_of_make_repro_a_warning(reproduced) -> None:
    nobody = ("env", "MLFLOW_TRACKING_URI=http://127.0.0.1:1", "mnist-pipeline", "sync")
    start = time.monotonic()
    assert reproduced.run(*nobody, code=1).startswith("error: MLflow fails: ")
    assert reproduced.run(*nobody, "--if-changed").startswith("warning: MLflow fails: ")
    assert time.monotonic() - start < 60
