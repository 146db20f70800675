"""Four IDX files of one's own, whatever their size, channels, types and names, or one line that names what to do."""

import gzip
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.data.idx import FILE_NAMES, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, format_idx
from mnist_pipeline.errors import PipelineError

LABELS = {TRAIN_LABELS: np.array([0, 1, 2, 1], np.uint8), TEST_LABELS: np.array([2, 0], np.uint8)}


def images(*shape: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        name: random.integers(0, 256, (count, *shape), np.uint8)
        for name, count in ((TRAIN_IMAGES, 4), (TEST_IMAGES, 2))
    }


@pytest.fixture
def folder(workplace, tmp_path: Path) -> Path:
    """Two or four grey images of 5×7 with their labels."""
    own = tmp_path / "own"
    own.mkdir()
    write(own, images(5, 7) | LABELS)
    workplace.change(dataset="idx", folder=str(own))
    return own


def write(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        (folder / name).write_bytes(format_idx(array))


def fails(workplace, *words: object) -> str:
    """The one line of a run that fails and writes nothing."""
    with pytest.raises(PipelineError) as caught:
        workplace.run()
    message = str(caught.value)
    assert [word for word in words if str(word) not in message] == []
    assert "\n" not in message
    assert workplace.raw() == {}
    assert not paths.CLASSES.exists()
    return message


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (40, 30, 3), (2, 2, 4)])
@pytest.mark.parametrize("packed", [False, True])
def test_images_of_any_size_and_channels_keep_their_bytes(workplace, folder, capsys, shape, packed) -> None:
    arrays = images(*shape) | LABELS
    write(folder, arrays)
    for path in list(folder.iterdir()) if packed else ():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    workplace.run()
    ending = f"idx{1 + len(shape)}-ubyte"
    assert workplace.raw() == {name.replace("idx3-ubyte", ending): format_idx(array) for name, array in arrays.items()}
    assert json.loads(paths.CLASSES.read_text()) == ["0", "1", "2"]
    summary = f"4 training and 2 test images of {shape[0]}×{shape[1]}×{[1, *shape][len(shape) - 2 and 3]}"
    assert summary in capsys.readouterr().err
    assert workplace.published == [(workplace.params, "download")]


@pytest.mark.parametrize(
    ("kind", "most"),
    [("uint8", 2), ("uint8", 255), ("int8", 2), (">i2", 255), (">i2", 256), (">i4", 300), (">i4", 65_534)],
)
def test_labels_of_any_whole_type(workplace, folder, kind: str, most: int) -> None:
    train = np.array([0, 1, 2, most], kind)
    write(folder, {TRAIN_LABELS: train})
    workplace.run()
    assert load_split(paths.RAW, "train").labels.tolist() == train.tolist()
    assert load_split(paths.RAW, "test").labels.tolist() == [2, 0]
    small = [name for name in workplace.raw() if name.endswith("labels-idx1-ubyte")]
    assert len(small) == (2 if most < 256 else 0)
    assert len(json.loads(paths.CLASSES.read_text())) == most + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({TRAIN_IMAGES: np.zeros((4, 5), np.uint8)}, ["(4, 5)", "[N, height, width]"]),
        ({TRAIN_IMAGES: np.zeros((4, 5, 7), ">f4")}, ["float32"]),
        ({TRAIN_IMAGES: np.zeros((4, 3, 5, 7), np.uint8)}, ["(4, 3, 5, 7)"]),
        ({TEST_IMAGES: np.zeros((2, 5, 8), np.uint8)}, ["5×7×1", "5×8×1"]),
        ({TEST_IMAGES: np.zeros((3, 5, 7), np.uint8)}, ["(3, 5, 7)", "(2,)"]),
        ({TRAIN_LABELS: np.zeros((4, 2), ">i4")}, ["(4, 2)", TRAIN_LABELS]),
        ({TRAIN_LABELS: np.full(4, np.nan, ">f8")}, ["float64", TRAIN_LABELS]),
        ({TRAIN_LABELS: np.array([0, -1, 1, 2], ">i2")}, ["-1"]),
        ({TRAIN_LABELS: np.array([0, 65_535, 1, 2], ">i4")}, ["65535", "65534"]),
        ({TRAIN_LABELS: np.zeros(4, np.uint8), TEST_LABELS: np.zeros(2, np.uint8)}, ["two classes"]),
    ],
)
def test_what_is_no_data_set_is_named(workplace, folder, change, words) -> None:
    write(folder, change)
    fails(workplace, folder, *words)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("cut", "word"), [(slice(-3), "bytes"), (slice(None), "bytes"), (slice(9), "cut off")])
def test_a_file_of_another_length_than_in_its_header(workplace, folder, packed, cut, word) -> None:
    content = (folder / TEST_IMAGES).read_bytes()[cut] + (b"?" if cut == slice(None) else b"")
    (folder / TEST_IMAGES).unlink()
    path = folder / f"{TEST_IMAGES}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(content) if packed else content)
    fails(workplace, path, word)


def test_a_damaged_archive_and_what_is_no_archive_are_named(workplace, folder) -> None:
    path = folder / f"{TEST_LABELS}.gz"
    for content in (
        gzip.compress((folder / TEST_LABELS).read_bytes())[:-6],
        b"<html>",
        b"\x1f\x8b\x08\0" + bytes(30),
        b"",
    ):
        path.write_bytes(content)
        (folder / TEST_LABELS).unlink(missing_ok=True)
        fails(workplace, path)


def test_labels_from_one_are_refused_with_the_fix(workplace, folder) -> None:
    write(folder, {name: array + 1 for name, array in LABELS.items()})
    fails(workplace, folder / TRAIN_LABELS, folder / TEST_LABELS, "subtract 1")


def names(workplace, folder, listed: list[str], text: bytes | None) -> None:
    workplace.change(label_names=listed)
    if text is not None:
        (folder / "label_names.txt").write_bytes(text)


@pytest.mark.parametrize(
    ("listed", "text", "expected"),
    [
        (["cat", "dog", "größe"], None, ["cat", "dog", "größe"]),
        ([], "cat\ndog\ngröße".encode(), ["cat", "dog", "größe"]),
        ([], b"\xef\xbb\xbfcat\r\na dog\r\ncow\r\n\r\n", ["cat", "a dog", "cow"]),
        (["x", "y", "z"], b"cat", ["x", "y", "z"]),
    ],
)
def test_classes_are_named_by_params_or_by_a_file(workplace, folder, listed, text, expected) -> None:
    names(workplace, folder, listed, text)
    workplace.run()
    assert json.loads(paths.CLASSES.read_text()) == expected


@pytest.mark.parametrize(
    ("listed", "text", "words"),
    [
        (["cat", "dog"], None, ["data.label_names", "2 names", "0 to 2"]),
        (["cat", "dog", "cat"], None, ["data.label_names", "2 of them different"]),
        ([], b"a\nb\nc\nd", ["label_names.txt", "4 names"]),
        ([], b"a\n\nc", ["label_names.txt", "2 of them different"]),
        ([], b"", ["label_names.txt", "0 names"]),
        ([], "a\nb\nc".encode("utf-16"), ["label_names.txt", "UTF-8"]),
    ],
)
def test_wrong_names_of_classes_are_refused(workplace, folder, listed, text, words) -> None:
    names(workplace, folder, listed, text)
    fails(workplace, *words)


def renamed(folder: Path, pattern: str) -> None:
    """Give the four files names of `pattern`, whose fields are split, kind and rank."""
    for name in FILE_NAMES:
        split, kind, *_ = name.split("-")
        target = folder / pattern.format(split=split, kind=kind, rank=3 if kind == "images" else 1)
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(target)


@pytest.mark.parametrize("dataset", ["idx", "mnist"])
@pytest.mark.parametrize(
    "pattern",
    [
        "{split}-{kind}.idx{rank}-ubyte",
        "emnist-digits-{split}-{kind}-idx{rank}-ubyte",
        "MNIST/raw/{split}-{kind}-idx{rank}-ubyte",
        "data/My_{split}_{kind}.idx{rank}.ubyte",
        "{split}/{split}-{kind}-idx{rank}-ubyte",
    ],
)
def test_similar_names_and_deeper_folders_will_do(workplace, folder, tiny_data, dataset, pattern, capsys) -> None:
    if dataset == "mnist":
        workplace.change(dataset="mnist", source=str(folder))
        for name in FILE_NAMES:
            (folder / name).write_bytes((tiny_data / name).read_bytes())
    before = {name: (folder / name).read_bytes() for name in FILE_NAMES}
    renamed(folder, pattern)
    for path in folder.rglob("t10k-*"):
        path.rename(path.with_name(path.name.replace("t10k", "test")))
    (folder / "._train-images-idx3-ubyte").write_bytes(b"of macOS")
    (folder / "train-images-idx3-ubyte").mkdir()  # as Kaggle's archive has it
    for path in list(folder.rglob("*train*labels*")):
        path.with_name(f"{path.name}.gz").write_bytes(b"the file beside it comes first")
    workplace.run()
    assert workplace.raw() == before
    assert ("transposed" in capsys.readouterr().err) == (dataset == "idx" and "emnist" in pattern)


def test_class_names_lie_beside_the_files(workplace, folder) -> None:
    renamed(folder, "MNIST/raw/{split}-{kind}-idx{rank}-ubyte")
    (folder / "MNIST/raw/label_names.txt").write_text("a\nb\nc\n")
    workplace.run()
    assert json.loads(paths.CLASSES.read_text()) == ["a", "b", "c"]


def test_several_candidates_are_named_unless_one_has_the_classic_name(workplace, folder) -> None:
    others = [folder / "A/raw" / TEST_LABELS, folder / "B" / TEST_LABELS]
    for path in others:
        path.parent.mkdir(parents=True)
        path.write_bytes((folder / TEST_LABELS).read_bytes())
    (folder / f"old-{TEST_LABELS}").write_bytes(b"an older one")
    workplace.run()
    (folder / f"old-{TEST_LABELS}").unlink()
    (folder / TEST_LABELS).unlink()
    others[0].rename(folder / "A" / TEST_LABELS)
    workplace_before = workplace.raw()
    with pytest.raises(PipelineError, match=f"{folder}/A/{TEST_LABELS}, {folder}/B/{TEST_LABELS}"):
        workplace.run()
    assert workplace.raw() == workplace_before


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("cat/1.PNG", ["cat/1.PNG", "data.dataset: folder"]),
        ("digits.npz", ["digits.npz", "use-your-own-data.md"]),
        (".gitkeep", ["nothing"]),
    ],
)
@pytest.mark.parametrize("key", ["data.folder", "data.source"])
def test_what_lies_there_instead_is_named_with_what_to_do(workplace, tmp_path, key, file, words) -> None:
    (tmp_path / "own" / file).parent.mkdir(parents=True)
    (tmp_path / "own" / file).touch()
    where = {"dataset": "idx", "folder": str(tmp_path / "own")}
    workplace.change(**where if key == "data.folder" else {"dataset": "kmnist", "source": str(tmp_path / "own")})
    fails(workplace, key, TRAIN_IMAGES, *words)


def test_a_folder_that_is_none_is_named(workplace) -> None:
    workplace.change(dataset="idx", folder="nowhere")
    fails(workplace, "data.folder", "nowhere")


@pytest.mark.parametrize("dataset", ["idx", "folder"])
@pytest.mark.parametrize("source", ["mirrors", "npm", "own"])
def test_ones_own_images_come_from_the_folder_that_dvc_watches(workplace, folder, dataset, source) -> None:
    workplace.change(dataset=dataset, source=str(folder) if source == "own" else source)
    fails(workplace, "data.source", "data.folder", "auto")


def test_large_files_are_copied_part_by_part(workplace, folder) -> None:
    big = np.zeros((4, 4000, 4000), np.uint8)
    packed = gzip.compress(format_idx(big), 1)
    (folder / TRAIN_IMAGES).unlink()
    (folder / f"{TRAIN_IMAGES}.gz").write_bytes(packed)
    write(folder, {TEST_IMAGES: big[:2]})
    tracemalloc.start()
    workplace.run()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < big.nbytes / 4
