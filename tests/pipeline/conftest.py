"""A project in which the tests of a module run the real commands."""

from pathlib import Path

import pytest

from projects import Project, make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Project:
    """A project in which nothing has run yet; the tests of a module share it, in order."""
    return make_project(tmp_path_factory.mktemp("project") / "repo", tiny_data)
