"""Own pictures by class become IDX files, always the same ones, and each that is not used is accounted for."""

import csv
import errno
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mnist_pipeline.data import folder
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import Data, load_params

ROOT = Path(__file__).parents[3]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "packed").mkdir()
    return tmp_path / "own"


def draw(file: Path, grey: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (6, 4), grey).save(file)


def draw_classes(place: Path, greys: dict[str, list[int]]) -> None:
    """In each class a picture of each grey, which is its name too."""
    for name, of in greys.items():
        for grey in of:
            draw(place / name / f"{grey:03}.png", grey)


def settings(place: Path, test: dict[str, Any] | None = None, **image: Any) -> Data:
    params = load_params(ROOT / "params.yaml").data
    size = {"height": 4, "width": 6, "channels": 1}
    changes = {"image": params.image.model_copy(update=size | image), "test": params.test.model_copy(update=test or {})}
    return params.model_copy(update={"dataset": "folder", "folder": str(place), **changes})


def pack(place: Path, test: dict[str, Any] | None = None, **image: Any) -> list[str]:
    return folder.read(settings(place, test, **image), place.parent / "packed")


def greys(place: Path, split: str) -> dict[int, list[int]]:
    """Of each label, the grey of each of its images."""
    packed = load_split(place.parent / "packed", split)
    found: dict[int, list[int]] = {}
    for image, label in zip(packed.images, packed.labels, strict=True):
        found.setdefault(int(label), []).append(int(image.min()))
    return found


def table(place: Path) -> list[dict[str, str]]:
    with (place.parent / "packed/pictures.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def refused(place: Path, *names: str, test: dict[str, Any] | None = None, **image: Any) -> str:
    with pytest.raises(PipelineError) as caught:
        pack(place, test, **image)
    message = str(caught.value)
    assert "\n" not in message
    assert [name for name in names if name not in message] == [], message
    return message


def test_train_and_test_are_packed_by_class(place: Path) -> None:
    draw_classes(place / "train", {"b": [3, 4, 5], "a": [1, 2], "Ähre 2": [6]})
    draw_classes(place / "test", {"a": [7], "b": [8]})
    assert pack(place) == ["a", "b", "Ähre 2"]
    assert greys(place, "train") == {0: [1, 2], 1: [3, 4, 5], 2: [6]}
    assert greys(place, "test") == {0: [7], 1: [8]}
    rows = table(place)
    assert list(rows[0].values()) == ["train", "0", "train/a/001.png", ""]
    assert list(rows[-1].values()) == ["test", "1", "test/b/008.png", ""]
    assert len(rows) == 8


@pytest.mark.parametrize(("channels", "rank"), [(1, 3), (3, 4), (4, 4)])
def test_images_have_the_wanted_shape(channels: int, rank: int, place: Path) -> None:
    draw_classes(place, {"a": [1, 2, 3], "b": [4, 5, 6]})
    pack(place, {"share": 0.3}, channels=channels, height=8, width=5)
    assert load_split(place.parent / "packed", "train").images.shape == (4, 8, 5, channels)
    assert (place.parent / f"packed/t10k-images-idx{rank}-ubyte").exists()


def test_a_share_of_each_class_is_for_testing(place: Path) -> None:
    draw_classes(place, {"a": list(range(20)), "b": list(range(100, 110))})
    pack(place, {"share": 0.3, "seed": 1})
    train, test = greys(place, "train"), greys(place, "test")
    assert [len(test[label]) for label in (0, 1)] == [6, 3]
    assert sorted(train[0] + test[0]) == list(range(20))
    pack(place, {"share": 0.3, "seed": 2})
    assert greys(place, "test") != test


def test_a_group_is_never_on_both_sides(place: Path) -> None:
    classes = {"a": list(range(60)), "b": list(range(100, 140))}
    draw_classes(place, classes)
    grouped = {f"{name}/{grey:03}.png": f"{grey % 30 // 3}" for name in classes for grey in classes[name] if grey != 5}
    lines = [f"{file},{group}" for file, group in grouped.items()]
    (place / "groups.csv").write_text("\n".join(["file,group", *lines]))
    pack(place, {"share": 0.2, "groups": "groups.csv"})
    sides: dict[str, set[str]] = {}
    for row in table(place):
        sides.setdefault(grouped.get(row["file"], "alone"), set()).add(row["split"])
    assert [group for group, of in sides.items() if len(of) > 1] == []
    test = greys(place, "test")
    assert 9 <= len(test[0]) <= 15
    assert 5 <= len(test[1]) <= 11


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("file,who\na/001.png,x\n", "file, group"),
        ("file,group\na/001.png,x\na/gone.png,x\n", "a/gone.png"),
        ("file,group\na/001.png,x\na/001.png,y\n", "once"),
        ("", "group"),
        ("file,group\n\xff,x", "UTF-8"),
        (None, "missing"),
    ],
)
def test_a_wrong_table_of_groups_is_named(text: str | None, named: str, place: Path) -> None:
    draw_classes(place, {"a": [1, 2], "b": [3, 4]})
    if text is not None:
        (place / "groups.csv").write_bytes(text.encode("latin-1"))
    refused(place, "groups.csv", named, test={"groups": "groups.csv"})


def test_groups_are_of_no_use_where_the_test_set_is_given(place: Path) -> None:
    for split in ("train", "test"):
        draw_classes(place / split, {"a": [1], "b": [2]})
    refused(place, "data.test.groups", test={"groups": "groups.csv"})


def test_pictures_belong_to_the_class_that_they_are_under(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_classes(place, {"a": [1, 2, 3], "b/deep/er": [4, 5, 6]})
    for ignored in (".hidden/1.png", "a/.1.png", "a/__MACOSX/1.png", "__MACOSX/1.png"):
        (place / ignored).parent.mkdir(exist_ok=True)
        (place / ignored).write_text("ignored")
    draw(place / "a/002.JPEG.PNG", 1)
    for left_out in ("a/Thumbs.db", "README.md", "loose.png"):
        (place / left_out).touch()
    assert pack(place) == ["a", "b"]
    assert [{row["file"].split("/")[0] for row in table(place)}, len(table(place))] == [{"a", "b"}, 7]
    (line,) = capsys.readouterr().err.splitlines()
    assert " 3 left out" in line


@pytest.mark.parametrize("link", ["c", "a/loop"])
def test_a_link_to_a_folder_is_named(place: Path, link: str) -> None:
    """DVC does not look behind it, and a loop would bring each picture many times."""
    draw_classes(place, {"a": [1, 2], "b": [3, 4]})
    (place / link).symlink_to(place)
    refused(place, f"{place / link} is a link")


def test_what_is_beside_train_and_test_is_counted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "test", "val"):
        draw_classes(place / split, {"a": [1], "b": [2]})
    draw(place / "test/loose.png")
    pack(place)
    assert " 3 left out" in capsys.readouterr().err


def test_classes_may_be_called_train_and_test(place: Path) -> None:
    draw_classes(place, {"train": [1, 2, 3], "test": [4, 5, 6]})
    assert pack(place) == ["test", "train"]
    assert greys(place, "train").keys() == {0, 1}


def test_what_cannot_be_read_is_left_out_and_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_classes(place / "train", {"a": [1, 2, 3], "b": [4]})
    draw_classes(place / "test", {"a": [5, 6]})
    (place / "train/a/002.png").write_text("no picture")
    (place / "train/b/gone.png").symlink_to("nowhere")
    os.mkfifo(place / "test/a/000.png")
    pack(place)
    assert (greys(place, "train"), greys(place, "test")) == ({0: [1, 3], 1: [4]}, {0: [5, 6]})
    rows = [(row["image"], row["file"], bool(row["problem"])) for row in table(place)]
    assert rows == [
        ("0", "train/a/001.png", False),
        ("", "train/a/002.png", True),
        ("1", "train/a/003.png", False),
        ("2", "train/b/004.png", False),
        ("", "train/b/gone.png", True),
        ("", "test/a/000.png", True),
        ("0", "test/a/005.png", False),
        ("1", "test/a/006.png", False),
    ]
    (line,) = capsys.readouterr().err.splitlines()
    assert "3 of 8" in line
    assert "train/a/002.png" in line
    assert str(place.parent) not in (place.parent / "packed/pictures.csv").read_text()


def test_the_bytes_are_the_same_whatever_the_number_of_processes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_classes(place, {"a": list(range(100)), "b": list(range(100, 200))})
    (place / "a/050.png").write_text("no picture")
    monkeypatch.setattr(folder, "CHUNK", 3)
    monkeypatch.setattr(folder, "AHEAD", 5)
    packed = []
    for cores in (1, 3):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process, cores=cores: range(cores), raising=False)
        pack(place)
        packed.append([file.read_bytes() for file in sorted((place.parent / "packed").iterdir())])
    assert packed[0] == packed[1]
    assert len(packed[0]) == 5


def test_the_processes_import_neither_torch_nor_pandas() -> None:
    program = "import sys, mnist_pipeline.data.picture; print(*sys.modules)"
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert not {"torch", "pandas", "sklearn", "rich"} & set(printed.split())


CLASSES = {"a": [1, 2], "b": [3, 4]}
TRAINING = {f"train/{name}": of for name, of in CLASSES.items()}
BAD: dict[str, tuple[dict[str, list[int]], list[str]]] = {
    "one class": ({"a": [1, 2]}, ["1 classes"]),
    "train without test": (TRAINING | {"val/a": [1]}, ["train, val", "test"]),
    "Train and Test": ({"Train/a": [1], "Train/b": [2], "Test/a": [1]}, ["Test, Train"]),
    "a class of test alone": (TRAINING | {"test/c": [1]}, ["'c'", "train"]),
    "an empty class": (CLASSES | {"empty": []}, ["empty"]),
    "another case": (CLASSES | {"B": [1]}, ["b", "B", "case"]),
    "another case in test": (TRAINING | {"test/A": [1]}, ["A and a", "case"]),
    "a name that is no text": (CLASSES | {"c\udcff": [1]}, ["c\\udcff"]),
    "too few for a test set": ({"a": [1], "b": [2]}, ["'a'"]),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_folder_of_classes_ends_in_one_line(name: str, place: Path) -> None:
    classes, named = BAD[name]
    for each in classes:
        (place / each).mkdir(parents=True)
    draw_classes(place, classes)
    refused(place, "data.folder", *named)


def test_a_class_has_one_normalised_name_in_both_splits(place: Path) -> None:
    draw_classes(place / "train", {"caf\u00e9": [1], "b": [2]})
    draw_classes(place / "test", {"cafe\u0301": [3]})
    assert pack(place) == ["b", "caf\u00e9"]
    assert greys(place, "test") == {1: [3]}
    assert unicodedata.is_normalized("NFC", pack(place)[1])


@pytest.mark.parametrize("unreadable", ["train/a", "test"])
def test_nothing_readable_is_an_error_that_names_it(unreadable: str, place: Path) -> None:
    draw_classes(place, TRAINING | {"test/a": [1]})
    for file in (place / unreadable).rglob("*.png"):
        file.write_text("no picture")
    refused(place, "'a'" if unreadable == "train/a" else "for test")


def test_a_folder_that_is_none_is_named(place: Path) -> None:
    refused(place, "data.folder", str(place))
    place.write_text("a file")
    refused(place, "data.folder", str(place))


def test_settings_that_fit_no_picture_are_named_before_any_is_read(place: Path) -> None:
    draw_classes(place, CLASSES)
    refused(place, "data.image.background", background="nocolour")


def test_a_full_disk_is_an_error_of_the_disk(place: Path) -> None:
    draw_classes(place, CLASSES)
    (place.parent / "packed/train-images-idx3-ubyte").symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:  # noqa: PT011 -- which by its number
        pack(place)
    assert caught.value.errno == errno.ENOSPC
