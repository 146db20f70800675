"""A repository with a tiny project, and a store of its own."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from mnist_pipeline.params import Params, load_params
from mnist_pipeline.tracking.store import open_store
from tiny_project import MODEL, TinyProject, matrix, run_git

PARAMS = Path(__file__).parents[3] / "params.yaml"
NAMES = [f"GIT_{role}_{key}" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")]
HOMES = ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR")


@pytest.fixture(autouse=True, scope="session")
def _no_settings_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nor the repository of this file."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_", "MLFLOW_"))}
    home = tmp_path_factory.mktemp("home")
    own = dict.fromkeys(NAMES, "tester@example.com") | dict.fromkeys(HOMES, str(home))
    with mock.patch.dict(os.environ, kept | own | {"GIT_CEILING_DIRECTORIES": str(home.parent)}, clear=True):
        yield


@pytest.fixture(autouse=True)
def _environment_restored() -> Iterator[None]:
    """Opening a store gives MLflow's variables their defaults."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="session")
def start_project(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Callable[[Path], TinyProject]:
    """Makes a project in a folder of a repository, and enters it."""
    params = load_params(PARAMS).model_copy(update={"models": [MODEL]})
    store = tmp_path_factory.mktemp("store")
    with mock.patch.dict(os.environ, {"DVC_ROOT": str(store)}):
        open_store(params.tracking.experiment)  # to make one takes 0.7 s, to copy one nothing

    def start(folder: Path) -> TinyProject:
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        project = TinyProject(params)
        project.start(tiny_data, PARAMS, store / "mlruns/mlflow.db")
        return project

    return start


@pytest.fixture(scope="session")
def template(start_project: Callable[[Path], TinyProject], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose first model is champion, and whose second is committed."""
    folder = tmp_path_factory.mktemp("template") / "repository"
    folder.mkdir()
    run_git("init", "--quiet", "--initial-branch", "main", folder=folder)
    before = Path.cwd()
    with mock.patch.dict(os.environ):
        project = start_project(folder)
        project.train(matrix(1))
        project.promote()
        project.train(matrix(2))
    os.chdir(before)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: Params) -> TinyProject:
    shutil.copytree(template, tmp_path / "repository", symlinks=True)
    monkeypatch.chdir(tmp_path / "repository")
    return TinyProject(params)


@pytest.fixture(scope="session")
def params() -> Params:
    return load_params(PARAMS).model_copy(update={"models": [MODEL]})
