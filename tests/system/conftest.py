"""The servers run for the length of a module, and stop with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import services
from services import Database, ObjectStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with services.database() as running:
        yield running


@pytest.fixture(scope="module")
def object_store(folder: Path) -> Iterator[ObjectStore]:
    with services.object_store(folder) as running:
        yield running
