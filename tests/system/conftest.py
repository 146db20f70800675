"""The servers run for the length of the tests, and stop with them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import services
from projects import Project, make_project
from services import Database, ObjectStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="module")
def project(folder: Path, tiny_data: Path) -> Project:
    """A project in which nothing has run yet; the tests of a module share it."""
    return make_project(folder / "home/repo", tiny_data)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with services.database() as running:
        yield running


@pytest.fixture(scope="module")
def object_store(folder: Path) -> Iterator[ObjectStore]:
    with services.object_store(folder) as running:
        yield running
