"""A whole run opens no connection to another machine, and leaves nothing in the home folder that identifies it."""

import json
from pathlib import Path

from projects import Project

KNOWN = ("repo", "made", ".cache/matplotlib", ".config/matplotlib")
"""The project, and where matplotlib lists the fonts of the machine."""


def test_a_whole_run_opens_no_connection(first_result: Project, shared_folder: Path) -> None:
    events = [json.loads(line) for line in (shared_folder / "recorded").read_text().splitlines()]
    started = [" ".join(what) for event, what in events if event == "start"]
    for command in ("src/mnist_pipeline download", "src/mnist_pipeline card mlp", "bin/mnist-pipeline sync"):
        assert any(command in process for process in started), "the recorder was in every process"
    assert [what for event, what in events if event != "start"] == []


def test_a_whole_run_leaves_nothing_in_the_home_folder(first_result: Project) -> None:
    home = first_result.path.parent
    files = [path.relative_to(home) for path in home.rglob("*") if path.is_file()]
    assert [file for file in files if not any(file.is_relative_to(known) for known in KNOWN)] == []
