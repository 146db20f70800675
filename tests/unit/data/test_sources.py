"""Mirrors and folders give the wanted files or say why not; what breaks off is fetched again, what is wrong is not."""

import gzip
import hashlib
import os
import time
from itertools import repeat
from pathlib import Path

import pytest
from torchvision import datasets

from mnist_pipeline.data import sources
from mnist_pipeline.data.idx import TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from mnist_pipeline.data.sources import SourceError, folder, mirrors
from mnist_pipeline.errors import PipelineError


def fetch(*addresses: str, names=(TRAIN_LABELS,), timeout: float = 5.0, retries: int = 0):
    return dict(mirrors("mnist", addresses, timeout, retries, names))


@pytest.fixture(autouse=True)
def _known(known) -> None:
    """Without checksums, torchvision would list those of the archives."""


@pytest.mark.parametrize("trouble", [429, 503, "closed", "cut_off", "silence", "silence_half_way"])
def test_what_breaks_off_is_fetched_again(server, tiny, trouble: int | str) -> None:
    answer = getattr(server, str(trouble), trouble)
    server.script(TRAIN_LABELS, [answer, answer])
    assert fetch(server.address(), timeout=0.2, retries=2) == {TRAIN_LABELS: tiny[TRAIN_LABELS]}
    assert server.requested == [f"one/{TRAIN_LABELS}"] * 3


def test_a_refusal_is_final(server) -> None:
    server.script(TRAIN_LABELS, repeat(403))
    with pytest.raises(SourceError, match=f"one: {TRAIN_LABELS}.gz answers 403 "):
        fetch(server.address(), retries=3)
    assert len(server.requested) == 1


def test_a_server_may_be_silent_for_as_long_as_is_set(server, tiny) -> None:
    server.script(TRAIN_LABELS, [server.silence, server.late])
    with pytest.raises(SourceError, match=f"{TRAIN_LABELS}.gz .*in time"):
        fetch(server.address(), timeout=0.1)
    assert fetch(server.address(), timeout=5) == {TRAIN_LABELS: tiny[TRAIN_LABELS]}


@pytest.mark.parametrize("where", ["header", "body"])
def test_an_answer_that_trickles_is_given_up(server, tiny, where: str) -> None:
    server.script(TRAIN_LABELS, [getattr(server, f"trickling_{where}")])
    begun = time.monotonic()
    assert fetch(server.address(), server.address("two"), timeout=0.2) == {TRAIN_LABELS: tiny[TRAIN_LABELS]}
    assert time.monotonic() - begun < 2
    assert server.requested == [f"one/{TRAIN_LABELS}", f"two/{TRAIN_LABELS}"]


def test_an_address_that_is_none_is_named(server) -> None:
    server.script(TRAIN_LABELS, [lambda handler: handler.give(status=302, Location="http://[::1")])
    for address in (server.address(), f"http://{'a' * 70}.example", "http://127.0.0.1:1"):
        with pytest.raises(SourceError, match=f"{address}: {TRAIN_LABELS}.gz (fails|cannot be reached)"):
            fetch(address)


def test_secrets_and_escape_sequences_stay_out_of_messages(server) -> None:
    def answer(handler) -> None:
        handler.wfile.write(b"HTTP/1.1 404 \x1b[31mGone\r\nContent-Length: 0\r\n\r\n")

    server.script(TRAIN_LABELS, [answer])
    server.script(TRAIN_LABELS, [404], "two?password=S3cret")
    address = server.address().replace("//", "//user:S3cret@")
    with pytest.raises(SourceError, match=r"answers 404.*answers 404") as caught:
        fetch(address, server.address("two?password=S3cret"))
    assert "S3cret" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_next_mirror_gives_what_fails_the_check(server, tiny, archives) -> None:
    server.script(TRAIN_LABELS, [archives[f"{TEST_LABELS}.gz"]])
    both = fetch(server.address("one"), server.address("two"))
    assert both == {TRAIN_LABELS: tiny[TRAIN_LABELS]}
    assert server.requested == [f"one/{TRAIN_LABELS}", f"two/{TRAIN_LABELS}"]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda archive: b"\n<!DOCTYPE html><title>Sign in</title>", "HTML"),
        (lambda archive: b"", "no gzip file"),
        (lambda archive: archive[: len(archive) // 2], "damaged or cut off"),
        (lambda archive: archive[:-6] + bytes(2) + archive[-4:], r"damaged or cut off \(CRC"),
        (lambda archive: archive[:100] + bytes(50) + archive[150:], "damaged or cut off"),
        (lambda archive: gzip.compress(bytes(1001)), "more than 1,000 bytes"),  # the cap
    ],
)
def test_what_is_no_whole_archive_is_not_fetched_again(server, archives, monkeypatch, damage, problem: str) -> None:
    monkeypatch.setattr(sources, "LARGEST_FILE", 1000)
    server.script(TRAIN_LABELS, [damage(archives[f"{TRAIN_LABELS}.gz"])])
    with pytest.raises(SourceError, match=f"{server.address()}: {TRAIN_LABELS}.gz .*{problem}"):
        fetch(server.address(), retries=3)
    assert len(server.requested) == 1


def test_an_answer_above_the_cap_is_given_up(server, monkeypatch) -> None:
    monkeypatch.setattr(sources, "LARGEST_FILE", 100)
    with pytest.raises(SourceError, match="more than 100 bytes"):
        fetch(server.address(), names=[TRAIN_IMAGES])


def test_torchvision_lists_the_mirrors_and_the_checksums_that_nobody_else_does(
    server, tiny, archives, monkeypatch
) -> None:
    archive = f"{TEST_LABELS}.gz"
    monkeypatch.setattr(datasets.KMNIST, "mirrors", [server.address("torchvision")])
    monkeypatch.setattr(datasets.KMNIST, "resources", [(archive, hashlib.md5(archives[archive]).hexdigest())])
    assert dict(mirrors("kmnist", [], 5.0, 0, [TEST_LABELS])) == {TEST_LABELS: tiny[TEST_LABELS]}
    monkeypatch.setattr(datasets.KMNIST, "resources", [(archive, "0" * 32)])
    with pytest.raises(SourceError, match=rf"{archive} has MD5 \w{{32}}, expected 0{{32}}"):
        list(mirrors("kmnist", [], 5.0, 0, [TEST_LABELS]))
    assert server.requested == [f"torchvision/{TEST_LABELS}"] * 2


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: path.mkdir(), f"{TEST_LABELS}.*nothing"),
        (lambda path: None, f"{TEST_LABELS}.*nothing"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: os.mkfifo(f"{path}.gz"), "not a regular file"),
        (lambda path: path.write_bytes(bytes(5001)), "larger than 5,000 bytes"),
        (lambda path: path.with_suffix(".gz").write_bytes(gzip.compress(bytes(5001))), "more than 5,000 bytes"),
    ],
)
def test_what_a_folder_lacks_is_named(tmp_path: Path, monkeypatch, make, problem: str) -> None:
    monkeypatch.setattr(sources, "LARGEST_FILE", 5000)
    make(tmp_path / TEST_LABELS)
    with pytest.raises((SourceError, PipelineError), match=f"{tmp_path}.*{problem}"):
        list(folder(tmp_path, [TEST_LABELS]))
