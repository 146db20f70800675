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

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.tracking import server, store
from mnist_pipeline.tracking.address import database, tracking_uri
from mnist_pipeline.tracking.store import open_store
from servers import free_port
from tracked_content import forget

TRAIN = """
from mnist_pipeline.params import load_params
from mnist_pipeline.tracking.publish import live_run

with live_run(load_params(), "lenet"):
    print("open", flush=True)
    input()
"""


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("", "sqlite:///{root}/mlruns/mlflow.db"),
        ("sqlite:///mlruns/mlflow.db", "sqlite:///{root}/mlruns/mlflow.db"),
        ("sqlite:////srv/runs.db?timeout=9", "sqlite:////srv/runs.db?timeout=9"),
        ("sqlite:////srv/a%23b/runs.db", "sqlite+pysqlite:////srv/a%23b/runs.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("file:./x", "file://{root}/x"),
        ("./x", "file://{root}/x"),
        ("file:///srv/x", "file:///srv/x"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("databricks", "databricks"),
    ],
)
def test_a_relative_address_starts_at_the_repository(tmp_path: Path, uri: str, expected: str, monkeypatch) -> None:
    (tmp_path / "copy").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path / "copy")
    assert tracking_uri() == expected.format(root=tmp_path)


@pytest.mark.parametrize(
    ("uri", "advice"), [("127.0.0.1:5000", "http://127.0.0.1:5000"), ("file:./x", "sqlite:"), ("/srv/x", "sqlite:")]
)
def test_an_address_that_is_none_is_named_with_what_to_set(uri: str, advice: str, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(PipelineError, match=f"MLFLOW_TRACKING_URI = {uri}: .*{advice}"):
        tracking_uri()


@pytest.mark.parametrize("name", ['what? it\'s a#b "q"', "100%_ß %20:b"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str, monkeypatch) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    assert database(tracking_uri()) == tmp_path / name / "mlruns/mlflow.db"
    opened = open_store("digits")
    run = opened.client.create_run(opened.models).info
    opened.client.log_text(run.run_id, "hello", "a.txt")
    assert Path(opened.client.download_artifacts(run.run_id, "a.txt")).read_text() == "hello"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert {path.name for path in Path("mlruns").iterdir()} == {".lock", "mlflow.db", "artifacts"}


def test_a_deleted_experiment_comes_back(tracked) -> None:
    tracked.train()
    tracked.store.client.delete_experiment(tracked.store.models)
    tracked.train(seed=1)
    assert len(tracked.runs()) == 2


def test_a_database_that_was_cut_off_while_it_was_made_is_made_again(tmp_path: Path, monkeypatch) -> None:
    def cut_off(uri: str) -> None:
        with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as half, half:
            half.execute("CREATE TABLE _alembic_tmp_params (key TEXT)")
        raise MlflowException("database or disk is full")

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(store, "MlflowClient", cut_off)
        with pytest.raises(MlflowException):
            open_store("digits")
    assert open_store("digits").client.get_experiment_by_name("digits")
    assert sorted(path.name for path in Path("mlruns").iterdir()) == [".lock", "mlflow.db"]


@pytest.mark.parametrize("name", ["moved", "what? 100%_ß"])
def test_a_moved_repository_keeps_its_figures_and_models(tracked, name: str, tmp_path_factory, monkeypatch) -> None:
    tracked.train()
    tracked.evaluate()
    tracked.export()
    moved = tmp_path_factory.mktemp("other") / name
    shutil.move(tracked.path, moved)
    monkeypatch.chdir(moved)

    run, client = tracked.run(), tracked.store.client
    figure = client.download_artifacts(run.info.run_id, "evaluate/figures/confusion.png")
    assert Path(figure).read_text() == "a picture"
    (model,) = client.search_logged_models([tracked.store.models])
    network = Path(model.artifact_location.replace("%25", "%")) / "model.onnx"
    assert network.read_bytes() == Path("models/lenet/model.onnx").read_bytes()
    tracked.train(seed=1)
    tracked.evaluate()
    assert not tracked.path.exists()


def test_artifacts_that_the_user_keeps_elsewhere_stay_there(tracked) -> None:
    client = open_store("digits").client
    addresses = ("s3://bucket/mlruns/artifacts/mine", f"{tracked.path}/mine")
    kept = [client.create_experiment(f"mine {n}", artifact_location=address) for n, address in enumerate(addresses)]
    open_store("digits")
    assert tuple(client.get_experiment(experiment).artifact_location for experiment in kept) == addresses


def test_processes_share_an_empty_folder_and_one_model(tracked) -> None:
    forget(tracked.path)
    tracked.write_params_for_another_process()
    tracked.write_training()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", TRAIN], env=os.environ, **pipes) for _ in range(2)]
    assert [process.stdout.readline() for process in processes] == ["open\n"] * 2
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=200)[0] for process in processes]
    assert (printed, [process.returncode for process in processes]) == ([""] * 2, [0] * 2)
    assert tracked.run().info.status == "FINISHED"
    names = [found.name for found in tracked.store.client.search_experiments()]
    assert sorted(names) == ["Default", "mnist-pipeline", "mnist-pipeline-data"]


@pytest.mark.parametrize("uri", ["file:./mlruns", "http://user:secret@127.0.0.1:1", "", "sqlite:///newer.db"])
def test_pages_of_a_store_that_cannot_be_served_end_in_one_line(tracked, uri: str, monkeypatch) -> None:
    if uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    else:
        Path("mlruns/mlflow.db").write_bytes(b"damaged" * 1000)
    if "newer" in uri:
        shutil.copy("mlruns/mlflow.db", "newer.db")
        with closing(sqlite3.connect("newer.db")) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = 'of next year'")
    with pytest.raises(PipelineError) as error:
        server.run(tracked.params, free_port())
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
