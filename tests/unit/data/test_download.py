"""Whatever the source and whatever happens, `data/raw` holds the four verified files or what it held before."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mnist_pipeline import paths
from mnist_pipeline.data import sources
from mnist_pipeline.data.catalog import DATASETS
from mnist_pipeline.data.dataset import load_label_names
from mnist_pipeline.data.idx import FILE_NAMES, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, format_idx
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import write_bytes
from mnist_pipeline.formats import directory_digest


def fill(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        write_bytes(folder / name, content)
    return str(folder)


@pytest.mark.parametrize("source", ["auto", "mirrors", "npm", "raw", "compressed", "~/own"])
def test_every_source_gives_the_same_bytes_and_the_same_digest(
    workplace, server, npm, before, archives, tiny_data: Path, tmp_path: Path, monkeypatch, source: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folders = {"raw": workplace.tiny, "compressed": archives, "~/own": workplace.tiny}
    where = fill(tmp_path / "own", folders[source]) if source in folders else source
    workplace.change(source=source if source.startswith("~") else where)
    workplace.run()
    assert workplace.raw() == workplace.tiny
    assert directory_digest(paths.RAW) == directory_digest(tiny_data)
    assert load_label_names(paths.CLASSES, 10) == list("0123456789")
    assert not paths.DOWNLOAD_CACHE.exists()
    assert workplace.published == [(workplace.params, "download")]
    assert bool(server.requested) == (source in ("auto", "mirrors"))
    assert bool(npm.arguments) == (source == "npm")


def test_the_class_names_are_those_of_the_data_set(workplace, tmp_path, capsys) -> None:
    workplace.change(dataset="kmnist", source=fill(tmp_path / "own", workplace.tiny))
    workplace.run()
    assert json.loads(paths.CLASSES.read_text()) == DATASETS["kmnist"].label_names
    assert "400 training and 200 test images of 28×28×1, 10 classes" in capsys.readouterr().err


def test_a_label_without_a_name_is_refused(workplace, before, tmp_path) -> None:
    labels = format_idx(np.full(200, 10, np.uint8))
    workplace.change(dataset="kmnist", source=fill(tmp_path / "own", workplace.tiny | {TEST_LABELS: labels}))
    with pytest.raises(PipelineError, match=r"labels up to 10.* 10 classes"):
        workplace.run()
    assert workplace.raw() == before


def test_the_next_source_fetches_what_remains(workplace, server, npm) -> None:
    server.script(TEST_IMAGES, [server.trickling_body])
    npm.packs({f"package/data/{name}": workplace.tiny[name] for name in FILE_NAMES[2:]})
    workplace.change(timeout_seconds=0.2)
    workplace.run()
    assert workplace.raw() == workplace.tiny


def test_when_all_fail_one_message_names_each_and_what_to_do(
    workplace, server, npm, before, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("https_proxy", "http://me:S3cret@proxy.example:3128")
    server.script(TRAIN_LABELS, [b"<html>"])
    npm.does("exit 1")
    workplace.change(mirrors=[server.address().replace("//", "//me:S3cret@")])
    with pytest.raises(PipelineError, match=rf"{TRAIN_LABELS}\.gz is an HTML page.*npm pack.*data\.source: ") as caught:
        workplace.run()
    printed = capsys.readouterr().err
    assert len(printed.splitlines()) == 2
    assert "S3cret" not in printed + str(caught.value)
    assert "proxy.example:3128" in str(caught.value)
    assert workplace.raw() == before
    assert workplace.kept() == {TRAIN_IMAGES}
    assert workplace.published == []


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda tiny: {TEST_IMAGES: tiny[TEST_IMAGES][:-1] + b"?"}, rf"{TEST_IMAGES} has SHA-256 \w{{64}}, expected"),
        (lambda tiny: {TEST_LABELS: tiny[TRAIN_LABELS]}, f"{TEST_LABELS} holds the content of {TRAIN_LABELS}"),
    ],
)
def test_a_bad_file_is_named_and_nothing_enters(workplace, before, tmp_path: Path, damage, problem: str) -> None:
    workplace.change(source=fill(tmp_path / "own", workplace.tiny | damage(workplace.tiny)))
    with pytest.raises(PipelineError, match=f"the folder {tmp_path}/own: .*{problem}"):
        workplace.run()
    assert workplace.raw() == before


def test_a_kept_file_that_was_damaged_since_is_fetched_again(workplace, server) -> None:
    fill(paths.DOWNLOAD_CACHE / "mnist", workplace.tiny | {TEST_LABELS: b"damaged"})
    workplace.run()
    assert workplace.raw() == workplace.tiny
    assert server.requested == [f"one/{TEST_LABELS}"]


def test_files_without_a_known_checksum_are_read_again_each_time(workplace, before, tmp_path) -> None:
    three = format_idx(np.zeros(3, np.uint8))
    workplace.change(dataset="kmnist", source=fill(tmp_path / "own", workplace.tiny | {TEST_LABELS: three}))
    with pytest.raises(PipelineError, match=rf"^kmnist: {TEST_IMAGES} .*\(200, 28, 28\).*{TEST_LABELS} \(3,\)"):
        workplace.run()
    assert (workplace.raw(), workplace.kept()) == (before, set())
    exchanged = (TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS)
    fixed = {name: workplace.tiny[other] for name, other in zip(FILE_NAMES, exchanged, strict=True)}
    fill(tmp_path / "own", fixed)
    workplace.run()
    assert workplace.raw() == fixed


@pytest.mark.parametrize(
    ("dataset", "source"),
    [("idx", "mirrors"), ("fashion-mnist", "npm"), ("mnist", "nowhere"), ("mnist", "~nobody-at-all/own")],
)
def test_a_source_that_cannot_be_is_named(workplace, server, npm, before, dataset, source) -> None:
    workplace.change(dataset=dataset, source=source)
    with pytest.raises(PipelineError, match=rf"^data\.source.*{source}"):
        workplace.run()
    assert (server.requested, npm.arguments, workplace.raw()) == ([], [], before)


def test_named_mirrors_are_tried_in_turn_as_often_as_is_set(workplace, server) -> None:
    server.script(TRAIN_IMAGES, [503] * 3, folder="two")
    workplace.change(mirrors=[server.address("two"), server.address("three")], retries=2)
    workplace.run()
    assert server.requested == [f"two/{TRAIN_IMAGES}"] * 3 + [f"three/{name}" for name in FILE_NAMES]


def test_a_link_that_leads_nowhere_is_replaced(workplace) -> None:
    paths.RAW.parent.mkdir()
    paths.RAW.symlink_to("nowhere")
    workplace.run()
    assert workplace.raw() == workplace.tiny


@pytest.mark.parametrize("fetched", [0, 2, 4])
def test_a_ctrl_c_loses_only_the_file_under_way(workplace, server, before, monkeypatch, fetched: int) -> None:
    def interrupted(*arguments: object) -> Iterator[tuple[str, bytes]]:
        yield from ((name, workplace.tiny[name]) for name in FILE_NAMES[:fetched])
        raise KeyboardInterrupt

    with monkeypatch.context() as half_way:
        half_way.setattr(sources, "mirrors", interrupted)
        with pytest.raises(KeyboardInterrupt):
            workplace.run()
    assert workplace.raw() == before
    assert workplace.kept() == set(FILE_NAMES[:fetched])
    workplace.run()
    assert workplace.raw() == workplace.tiny
    assert server.requested == [f"one/{name}" for name in FILE_NAMES[fetched:]]
