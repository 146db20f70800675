"""Files are whole or not there, and who cannot write them is told which and why."""

import errno
import os
from pathlib import Path

import pytest

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import atomic_path, demand_writable, write_text


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_text(target, "old")
    with pytest.raises(TypeError), atomic_path(target) as temporary:
        temporary.write_text(12)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    with pytest.raises(PipelineError, match=r"report\.json: cannot be written: No space left"), atomic_path(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [demand_writable, lambda target: write_text(target, "new")])
def test_a_folder_that_cannot_be_is_told(tmp_path: Path, write) -> None:
    (tmp_path / "reports").write_text("a file in the place of the folder")
    with pytest.raises(PipelineError, match=r"reports/train/metrics\.json: cannot be written: Not a directory"):
        write(tmp_path / "reports/train/metrics.json")


def test_what_can_be_written_passes_and_stays_away(tmp_path: Path) -> None:
    demand_writable(tmp_path / "new/report.json")
    assert list((tmp_path / "new").iterdir()) == []
