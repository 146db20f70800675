"""MLflow's pages over a project that was reproduced, and a real browser that reads them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from projects import make_project
from screenshots import Visitor, visitor
from servers import free_port, running


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Iterator[Visitor]:
    browser = os.environ.get("BROWSER") or shutil.which("chromium")
    assert browser, "no chromium on the path: install it, or name its place in BROWSER"
    folder = tmp_path_factory.mktemp("browser")
    project = make_project(folder / "repo", tiny_data)
    project.run("dvc", "repro")
    port = free_port()
    command, address = ["mnist-pipeline", "ui", "--port", str(port)], f"http://127.0.0.1:{port}"
    environment, log = project.environment(), folder / "server.log"
    with running(command, address, folder=project.path, environment=environment, log=log):
        assert f"{address}/#/experiments/" in log.read_text()
        with visitor(address, "mnist-pipeline", browser) as reader:
            yield reader
