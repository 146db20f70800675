"""Each source gives the wanted files or says why not; what breaks off is asked for again, what is wrong is not."""

import gzip
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

from mnist_pipeline.data import sources
from mnist_pipeline.data.catalog import FILE_NAMES, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from mnist_pipeline.data.idx import format_idx
from mnist_pipeline.data.sources import SourceError, folder, mirrors
from mnist_pipeline.data.verification import verify_file, verify_together
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import write_bytes

LABELS, PIXELS = np.zeros(3, np.uint8), np.zeros((3, 28, 28), np.uint8)


def anything(name: str, content: bytes) -> None:
    """A check that refuses nothing."""


def fetch(
    *addresses: str, names=FILE_NAMES, timeout: float = 5.0, retries: int = 0, check=anything
) -> dict[str, bytes]:
    return dict(mirrors("mnist", addresses, timeout, retries, check)(names))


@pytest.fixture(autouse=True)
def _known(known) -> None:
    """Without checksums, torchvision would be asked for those of the archives."""


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_mirror_gives_the_files_unpacked(server, tiny, ending: str) -> None:
    assert fetch(server.address() + ending) == tiny
    assert server.asked == [f"one/{name}" for name in FILE_NAMES]


def test_only_what_is_wanted_is_asked_for(server, tiny) -> None:
    assert fetch(server.address(), names=[TEST_LABELS]) == {TEST_LABELS: tiny[TEST_LABELS]}
    assert server.asked == [f"one/{TEST_LABELS}"]


@pytest.mark.parametrize(
    "trouble", [408, 429, 500, 502, 503, 504, "reset", "closed", "cut_off", "silence", "silence_half_way"]
)
def test_what_breaks_off_is_asked_for_again(server, tiny, trouble: int | str) -> None:
    answer = server.late(5) if trouble == "silence" else getattr(server, str(trouble), trouble)
    server.script(TRAIN_LABELS, [answer, answer])
    assert fetch(server.address(), names=[TRAIN_LABELS], timeout=0.4, retries=2) == {TRAIN_LABELS: tiny[TRAIN_LABELS]}
    assert server.asked == [f"one/{TRAIN_LABELS}"] * 3


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_as_often_as_was_said_after_growing_pauses(server, monkeypatch, retries: int) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(sources, "FIRST_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(sources.time, "sleep", pauses.append)
    server.script(TRAIN_IMAGES, repeat(503))
    with pytest.raises(SourceError, match=f"one: {TRAIN_IMAGES}.gz answers 503 Service Unavailable"):
        fetch(server.address(), retries=retries)
    assert len(server.asked) == 1 + retries
    assert pauses == [0.5, 1, 2][:retries]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_a_refusal_is_final(server, status: int) -> None:
    server.script(TRAIN_IMAGES, repeat(status))
    with pytest.raises(SourceError, match=f"one: {TRAIN_IMAGES}.gz answers {status} "):
        fetch(server.address(), retries=3)
    assert len(server.asked) == 1


def test_a_server_may_be_silent_for_as_long_as_was_said(server, tiny) -> None:
    server.script(TRAIN_LABELS, repeat(server.late(0.4)))
    with pytest.raises(SourceError, match=f"one: {TRAIN_LABELS}.gz does not answer in time"):
        fetch(server.address(), names=[TRAIN_LABELS], timeout=0.1)
    assert fetch(server.address(), names=[TRAIN_LABELS], timeout=5)[TRAIN_LABELS] == tiny[TRAIN_LABELS]


@pytest.mark.parametrize(
    ("trouble", "told"), [("silence_half_way", "does not answer in time"), ("closed", "breaks off")]
)
def test_how_a_connection_broke_off_is_told(server, trouble: str, told: str) -> None:
    server.script(TRAIN_LABELS, [getattr(server, trouble)])
    with pytest.raises(SourceError, match=f"{TRAIN_LABELS}.gz {told}"):
        fetch(server.address(), names=[TRAIN_LABELS], timeout=0.2)


@pytest.mark.parametrize("header", [{"Content-Length": "many"}, {"Content-Encoding": "gzip"}])
def test_an_odd_header_changes_nothing(server, tiny, archives, header: dict[str, str]) -> None:
    server.script(TRAIN_LABELS, [lambda handler: handler.give(headers=header)])
    assert fetch(server.address(), names=[TRAIN_LABELS]) == {TRAIN_LABELS: tiny[TRAIN_LABELS]}


def test_an_address_that_is_none_is_told(server) -> None:
    server.script(TRAIN_LABELS, [lambda handler: handler.give(status=302, headers={"Location": "http://[::1"})])
    for address in (server.address(), f"http://{'a' * 70}.example"):
        with pytest.raises(SourceError, match=f"{TRAIN_LABELS}.gz (fails|cannot be reached)"):
            fetch(address, names=[TRAIN_LABELS])


def test_the_next_mirror_is_asked_for_what_the_check_refuses(server, tiny, archives) -> None:
    server.script(TRAIN_LABELS, [archives[f"{TEST_LABELS}.gz"]])
    check = partial(verify_file, dataset="mnist")
    both = fetch(server.address("one"), server.address("two"), names=[TRAIN_LABELS], check=check)
    assert both == {TRAIN_LABELS: tiny[TRAIN_LABELS]}
    assert server.asked == [f"one/{TRAIN_LABELS}", f"two/{TRAIN_LABELS}"]


def test_an_address_that_nobody_serves(server) -> None:
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:1: train-images-idx3-ubyte\.gz cannot be reached"):
        fetch("http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda archive: b"\n<!DOCTYPE html><title>Sign in</title>", "is an HTML page; expected a gzip file"),
        (lambda archive: b"<html>moved</html>", "is an HTML page; expected a gzip file"),
        (lambda archive: b"try again later", "is no gzip file; expected a gzip file"),
        (lambda archive: b"", "is no gzip file"),
        (lambda archive: archive[: len(archive) // 2], "is damaged or cut off"),
        (lambda archive: archive[:5], "is damaged or cut off"),
        (lambda archive: archive[:-6] + bytes(2) + archive[-4:], r"is damaged or cut off \(CRC check failed"),
        (lambda archive: archive[:400] + bytes(50) + archive[450:], "is damaged or cut off"),
    ],
)
def test_what_is_no_whole_archive_is_told_and_not_asked_for_again(server, archives, damage, told: str) -> None:
    server.script(TRAIN_IMAGES, [damage(archives[f"{TRAIN_IMAGES}.gz"])])
    with pytest.raises(SourceError, match=f"{server.address()}: {TRAIN_IMAGES}.gz {told}"):
        fetch(server.address(), retries=3)
    assert len(server.asked) == 1


@pytest.mark.parametrize("failure", [404, b"<html>", "cut_off"])
def test_the_next_mirror_carries_on_with_only_what_remains(server, tiny, failure: int | bytes | str) -> None:
    server.script(TEST_IMAGES, repeat(getattr(server, str(failure), failure)))
    assert fetch(server.address("one"), server.address("two")) == tiny
    assert server.asked == [f"one/{name}" for name in FILE_NAMES[:3]] + [f"two/{name}" for name in FILE_NAMES[2:]]


def test_each_mirror_s_reason_is_told(server) -> None:
    server.script(TRAIN_IMAGES, [404], folder="one")
    server.script(TRAIN_IMAGES, [b"<html>"], folder="two")
    told = rf"{server.address('one')}: {TRAIN_IMAGES}.gz answers 404 Not Found; {server.address('two')}: .* HTML page"
    with pytest.raises(SourceError, match=told):
        fetch(server.address("one"), server.address("two"))


def test_a_body_without_end_is_given_up(server, monkeypatch) -> None:
    monkeypatch.setattr(sources, "LARGEST_FILE", 100_000)
    server.script(TRAIN_IMAGES, [server.endless])
    with pytest.raises(SourceError, match=r"train-images-idx3-ubyte\.gz sends more than 100,000 bytes"):
        fetch(server.address())


def test_a_bomb_is_unpacked_to_the_cap_and_no_further(server, monkeypatch) -> None:
    monkeypatch.setattr(sources, "LARGEST_FILE", 100_000)
    server.script(TRAIN_IMAGES, [gzip.compress(bytes(100_001)), gzip.compress(bytes(100_000))])
    with pytest.raises(SourceError, match=r"train-images-idx3-ubyte\.gz unpacks to more than 100,000 bytes"):
        fetch(server.address(), names=[TRAIN_IMAGES])
    assert fetch(server.address(), names=[TRAIN_IMAGES]) == {TRAIN_IMAGES: bytes(100_000)}


def test_where_nobody_names_a_mirror_torchvision_does(server, tiny, monkeypatch) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.MNIST, "mirrors", [server.address("torchvision")])
    assert fetch(server.address("own"), names=[TEST_LABELS]) == fetch(names=[TEST_LABELS])
    assert server.asked == [f"own/{TEST_LABELS}", f"torchvision/{TEST_LABELS}"]


@pytest.mark.parametrize("right", [True, False])
def test_where_no_checksum_of_the_content_is_known_that_of_the_archive_decides(
    server, tiny, archives, monkeypatch, right: bool
) -> None:
    from torchvision import datasets

    archive = f"{TEST_LABELS}.gz"
    md5 = sources.hashlib.md5(archives[archive]).hexdigest() if right else "0" * 32
    monkeypatch.setattr(datasets.KMNIST, "resources", [(archive, md5)])
    source = mirrors("kmnist", [server.address()], 5.0, 0, anything)
    if right:
        assert dict(source([TEST_LABELS])) == {TEST_LABELS: tiny[TEST_LABELS]}
    else:
        with pytest.raises(SourceError, match=rf"{archive} has MD5 \w{{32}}, expected {md5}"):
            list(source([TEST_LABELS]))


@pytest.mark.parametrize("compressed", [[], FILE_NAMES, [TRAIN_LABELS]])
def test_a_folder_holds_the_files_raw_or_compressed(tmp_path: Path, tiny, compressed: list[str]) -> None:
    for name, content in tiny.items():
        path, content = (f"{name}.gz", gzip.compress(content)) if name in compressed else (name, content)
        (tmp_path / path).write_bytes(content)
    assert dict(folder(tmp_path)(FILE_NAMES)) == tiny


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        (f"{TEST_LABELS}/a-folder", b"", "t10k-labels-idx1-ubyte cannot be read: Is a directory"),
        (None, b"", "holds neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"),
        (f"{TEST_LABELS}.gz", b"\x1f\x8b\x08", "t10k-labels-idx1-ubyte.gz is damaged or cut off"),
        (TEST_LABELS, bytes(5001), "t10k-labels-idx1-ubyte has more than 5,000 bytes"),
        (f"{TEST_LABELS}.gz", gzip.compress(bytes(5001), mtime=0), "unpacks to more than 5,000 bytes"),
    ],
)
def test_what_a_folder_lacks_is_named(tmp_path: Path, monkeypatch, file: str | None, content: bytes, told: str) -> None:
    monkeypatch.setattr(sources, "LARGEST_FILE", 5000)
    if file:
        write_bytes(tmp_path / file, content)
    with pytest.raises(SourceError, match=f"{tmp_path}.*{told}"):
        list(folder(tmp_path)([TEST_LABELS]))


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PipelineError, match=f"{tmp_path / name} is not a folder; expected auto, mirrors, npm or"):
        list(folder(tmp_path / name)([TEST_LABELS]))


@pytest.mark.parametrize("name", FILE_NAMES)
def test_known_content_passes_and_no_other(tiny, name: str) -> None:
    verify_file(name, tiny[name], "mnist")
    with pytest.raises(SourceError, match=rf"{name} has SHA-256 \w{{64}}, expected \w{{64}}: it is damaged or another"):
        verify_file(name, tiny[name][:-1] + b"?", "mnist")


@pytest.mark.parametrize(("name", "other"), [(TRAIN_IMAGES, TEST_IMAGES), (TEST_LABELS, TEST_IMAGES)])
def test_exchanged_files_are_named(tiny, name: str, other: str) -> None:
    with pytest.raises(SourceError, match=f"{name} holds the content of {other}: are the files exchanged?"):
        verify_file(name, tiny[other], "mnist")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (TRAIN_IMAGES, format_idx(LABELS), r"train-images-idx3-ubyte .* shape \(3,\), expected images of 28×28"),
        (TRAIN_IMAGES, format_idx(PIXELS[:, :27]), r"shape \(3, 27, 28\), expected images of 28×28"),
        (TEST_LABELS, format_idx(PIXELS), r"t10k-labels-idx1-ubyte .* shape \(3, 28, 28\), expected labels"),
        (TEST_LABELS, format_idx(LABELS[0]), r"t10k-labels-idx1-ubyte .* shape \(\), expected labels"),
        (TEST_LABELS, format_idx(LABELS)[:-1], "t10k-labels-idx1-ubyte: 10 bytes, but its header announces"),
        (TEST_LABELS, b"\0\0\x08\x46" + b"\0\0\0\1" * 70 + b"?", "t10k-labels-idx1-ubyte: .* 70 dimensions"),
        (TEST_LABELS, b"\x1f\x8b", "t10k-labels-idx1-ubyte: not an IDX file"),
    ],
)
@pytest.mark.parametrize("dataset", ["idx", "kmnist"])
def test_without_checksums_the_format_is_what_counts(dataset, name: str, content: bytes, told: str) -> None:
    verify_file(TRAIN_IMAGES, format_idx(PIXELS), dataset)
    verify_file(TEST_LABELS, format_idx(LABELS), dataset)
    with pytest.raises(SourceError, match=told):
        verify_file(name, content, dataset)


@pytest.mark.parametrize(("images", "labels"), [(TRAIN_IMAGES, TRAIN_LABELS), (TEST_IMAGES, TEST_LABELS)])
def test_as_many_labels_as_images(tiny, images: str, labels: str) -> None:
    verify_together(tiny)
    with pytest.raises(SourceError, match=rf"{images} holds \d+ images, but {labels} 3 labels"):
        verify_together(tiny | {labels: format_idx(LABELS)})


def test_a_split_without_images_is_refused(tiny) -> None:
    empty = {TRAIN_IMAGES: format_idx(PIXELS[:0]), TRAIN_LABELS: format_idx(LABELS[:0])}
    with pytest.raises(SourceError, match="train-images-idx3-ubyte holds no image"):
        verify_together(tiny | empty)
