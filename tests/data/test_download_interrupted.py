"""A full disk or Ctrl-C costs the file under way: `data/raw` stays as it was, and the next run fetches the rest."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mnist_pipeline import paths
from mnist_pipeline.data import sources
from mnist_pipeline.data.catalog import FILE_NAMES, TEST_IMAGES
from mnist_pipeline.errors import PipelineError

ROOT = Path(__file__).parents[2]
COMMAND = """
import signal, sys, types
from dataclasses import replace
from mnist_pipeline import cli
from mnist_pipeline.data.catalog import DATASETS
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C
DATASETS["mnist"] = replace(DATASETS["mnist"], sha256={known!r})
sys.modules["mnist_pipeline.tracking.publish"] = types.SimpleNamespace(publish_download=lambda params: None)
sys.argv = ["mnist-pipeline", "download"]
cli.main()
"""


def disk_full(place: Path, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `room` files, half of one fits in `place`."""
    write, written = Path.write_bytes, []

    def limited(path: Path, content: bytes) -> int:
        if path.is_relative_to(place.resolve()):
            written.append(path)
            if len(written) > room:
                write(path, content[: len(content) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", limited)


def test_a_full_disk_while_fetching_keeps_what_was_verified(workplace, server, before, monkeypatch) -> None:
    with monkeypatch.context() as full:
        disk_full(paths.DOWNLOAD_CACHE, 2, full)
        with pytest.raises(PipelineError, match="cannot be written: No space left on device: mend that and run again"):
            workplace.run()
    assert workplace.raw() == before
    assert workplace.kept() == set(FILE_NAMES[:2])
    server.asked.clear()
    workplace.run()
    assert workplace.raw() == workplace.tiny
    assert server.asked == [f"one/{name}" for name in FILE_NAMES[2:]]


def test_a_full_disk_while_installing_loses_nothing(workplace, server, before, monkeypatch) -> None:
    with monkeypatch.context() as full:
        disk_full(paths.RAW.parent, 3, full)
        with pytest.raises(PipelineError, match=f"raw.new/{FILE_NAMES[3]}: cannot be written: No space left"):
            workplace.run()
    assert workplace.raw() == before
    assert workplace.kept() == set(FILE_NAMES)
    server.asked.clear()
    workplace.run()
    assert workplace.raw() == workplace.tiny
    assert server.asked == []


@pytest.mark.parametrize("fetched", range(5))
def test_a_ctrl_c_loses_only_the_file_under_way(workplace, server, before, monkeypatch, fetched: int) -> None:
    def interrupted(names: list[str]) -> Iterator[tuple[str, bytes]]:
        yield from ((name, workplace.tiny[name]) for name in names[:fetched])
        raise KeyboardInterrupt

    with monkeypatch.context() as half_way:
        half_way.setattr(sources, "mirrors", lambda *arguments: interrupted)
        with pytest.raises(KeyboardInterrupt):
            workplace.run()
    assert workplace.raw() == before
    assert workplace.kept() == set(FILE_NAMES[:fetched])
    workplace.run()
    assert workplace.raw() == workplace.tiny
    assert server.asked == [f"one/{name}" for name in FILE_NAMES[fetched:]]


def test_the_command_ends_quietly_on_ctrl_c_and_goes_on_where_it_was(workplace, server, known) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["data"] |= {"source": "mirrors", "mirrors": [server.address()], "timeout_seconds": 60.0}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    command = [sys.executable, "-c", COMMAND.format(known=known)]
    server.script(TEST_IMAGES, [server.late(60)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert server.hanging.wait(30)
            process.send_signal(signal.SIGINT)
            printed = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "".join(printed).strip() == ""
    assert workplace.raw() == {}
    assert workplace.kept() == set(FILE_NAMES[:2])

    server.asked.clear()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.startswith("download: mnist from the mirrors: 4 files")
    assert workplace.raw() == workplace.tiny
    assert server.asked == [f"one/{name}" for name in FILE_NAMES[2:]]


def test_an_interruption_while_the_folders_change_places_loses_nothing(workplace, before, monkeypatch) -> None:
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == "raw.new":
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as interruption:
        interruption.setattr(Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            workplace.run()
    assert workplace.raw() == before
