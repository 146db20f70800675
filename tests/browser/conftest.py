"""MLflow's pages over a project that was reproduced, and a real browser that reads them."""

import os
import shutil
from collections.abc import Iterator

import pytest

from projects import Project
from screenshots import Visitor, visitor
from servers import free_port, running


@pytest.fixture(scope="session")
def reader(first_result: Project) -> Iterator[Visitor]:
    browser = os.environ.get("BROWSER") or shutil.which("chromium")
    assert browser, "no chromium on the path: install it, or name its place in BROWSER"
    port = free_port()
    command, address = ["mnist-pipeline", "ui", "--port", str(port)], f"http://127.0.0.1:{port}"
    environment, log = first_result.environment(), first_result.path.parent / "server.log"
    with running(command, address, folder=first_result.path, environment=environment, log=log):
        assert address in log.read_text()
        with visitor(address, "mnist-pipeline", browser) as reader:
            yield reader
