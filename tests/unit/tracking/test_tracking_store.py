"""One store for the whole repository, wherever a stage runs and wherever the repository is moved."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from pydantic import ValidationError

from mnist_pipeline.params import Tracking
from mnist_pipeline.tracking import store
from mnist_pipeline.tracking.store import open_store, tracking_uri

ROOT = Path(__file__).parents[3]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_two_experiments_that_open_in_the_model_view(empty: Path) -> None:
    opened = open_store("digits")
    for experiment, name in ((opened.models, "digits"), (opened.data, "digits-data")):
        found = opened.client.get_experiment(experiment)
        assert found.name == name
        assert found.artifact_location == f"{empty}/mlruns/artifacts/{name}"
        assert found.tags["mlflow.experimentKind"] == "custom_model_development"
    assert (empty / "mlruns/mlflow.db").exists()


@pytest.mark.parametrize("name", ["", "../elsewhere", "a/b", "what?"])
def test_a_name_that_is_no_folder_s_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="experiment"):
        Tracking(experiment=name)


def test_a_database_that_was_cut_off_while_it_was_made_is_made_anew(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(uri: str) -> None:
        with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as half, half:
            half.execute("CREATE TABLE _alembic_tmp_params (key TEXT)")
        raise MlflowException("database or disk is full")

    with monkeypatch.context() as full:
        full.setattr(store, "MlflowClient", cut_off)
        with pytest.raises(MlflowException):
            open_store("digits")
    assert open_store("digits").client.get_experiment_by_name("digits")
    assert sorted(path.name for path in Path("mlruns").iterdir()) == [".lock", "mlflow.db"]


def test_a_database_s_error_is_one_line_that_names_the_cause(tracked, capfd) -> None:
    with closing(sqlite3.connect("mlruns/mlflow.db")) as connection, connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON runs BEGIN SELECT RAISE(FAIL, 'no room'); END")
    tracked.train()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: MLflow did not take the row: its database: no room: ")


def test_opening_again_finds_the_same_experiments(tracked) -> None:
    first, second = open_store("digits"), open_store("digits")
    assert (first.models, first.data) == (second.models, second.data)


def test_opening_leaves_the_address_to_the_user(tracked) -> None:
    open_store("digits")
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_a_copy_that_dvc_runs_in_writes_to_the_repository(tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tracked.path / ".dvc/tmp/exps/temp1"
    shutil.copytree("data", copy / "data")
    monkeypatch.setenv("DVC_ROOT", str(tracked.path))
    monkeypatch.setenv("DVC_EXP_NAME", "bold-idea")
    monkeypatch.chdir(copy)
    tracked.train()
    tracked.evaluate()
    assert not (copy / "mlruns").exists()
    monkeypatch.chdir(tracked.path)
    monkeypatch.delenv("DVC_ROOT")
    assert tracked.row().data.tags["dvc.exp_name"] == "bold-idea"
    assert tracked.artifacts(tracked.row(), "evaluate")


def test_the_user_s_address_wins(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{empty}/elsewhere/rows.db")
    opened = open_store("digits")
    assert (empty / "elsewhere/rows.db").exists()
    assert not (empty / "mlruns").exists()
    assert opened.client.get_experiment(opened.models).artifact_location == f"{empty}/elsewhere/artifacts/digits"


def test_an_empty_address_is_none(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert tracking_uri() == f"sqlite:///{empty}/mlruns/mlflow.db"


@pytest.mark.parametrize("name", ["moved", "with a space", "100%_ß"])
def test_a_moved_repository_keeps_its_pictures_and_models(
    tracked, name: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked.train()
    tracked.evaluate()
    tracked.export()
    moved = tmp_path_factory.mktemp("other") / name
    shutil.move(tracked.path, moved)
    monkeypatch.chdir(moved)

    row = tracked.row()
    client = tracked.store.client
    assert Path(client.download_artifacts(row.info.run_id, "evaluate/confusion.png")).read_text() == "a picture"
    (model,) = client.search_logged_models([tracked.store.models])
    assert (Path(model.artifact_location) / "model.onnx").read_bytes() == Path("models/lenet/model.onnx").read_bytes()
    assert row.info.artifact_uri.startswith(str(moved))
    tracked.train(seed=1)
    tracked.evaluate()
    assert not tracked.path.exists()


def test_artifacts_that_the_user_keeps_elsewhere_stay_there(tracked) -> None:
    client = open_store("digits").client
    addresses = ("s3://bucket/mlruns/artifacts/mine", f"{tracked.path}/mine")
    kept = [client.create_experiment(f"mine {n}", artifact_location=address) for n, address in enumerate(addresses)]
    open_store("digits")
    assert tuple(client.get_experiment(experiment).artifact_location for experiment in kept) == addresses


def test_a_deleted_experiment_comes_back(tracked) -> None:
    tracked.train()
    tracked.store.client.delete_experiment(tracked.store.models)
    tracked.train(seed=1)
    assert len(tracked.rows()) == 2


TRAIN = """
from mnist_pipeline.params import load_params
from mnist_pipeline.tracking import publish

with publish.training_run(load_params(), "lenet") as row:
    print("open", flush=True)
    input()
    row.finish()
"""


def test_four_processes_share_an_empty_folder_and_one_model(tracked) -> None:
    shutil.rmtree("mlruns")
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    tracked.write_training()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TRAIN],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in processes] == ["", "", "", ""]
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert tracked.row().info.status == "FINISHED"
    names = [found.name for found in tracked.store.client.search_experiments()]
    assert sorted(names) == ["Default", "mnist-pipeline", "mnist-pipeline-data"]
