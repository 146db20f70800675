"""Pictures are read, judged and told some at a time: as many as there are fit into memory."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.tasks import predict

BATCH = predict.BATCH_SIZE
MANY = 2 * BATCH + 50
BROKEN = "b0007.png"


class Doubling:
    """A network of two labels; a picture's first pixel says which."""

    name = "doubling"
    label_names = ("no", "indeed")

    def ask(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        assert len(images) <= BATCH
        indeed = images[:, 0, 0] > 0
        return np.stack([~indeed, indeed], 1).astype(np.float32), indeed


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """The names of the pictures in the order in which they are read; the folder that holds them is the working one."""
    names: list[str] = []

    def as_in_mnist(path: Path) -> NDArray[np.uint8]:
        if path.name == BROKEN:
            raise PipelineError(f"{path}: no PNG or JPEG picture")
        names.append(path.name)
        return np.full((28, 28), path.name.startswith("b"), dtype=np.uint8)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predict, "as_in_mnist", as_in_mnist)
    monkeypatch.setattr(predict, "_network", lambda model: Doubling())
    Path("many").mkdir()
    for number in range(MANY):
        (Path("many") / f"{'ab'[number % 2]}{number:04}.png").touch()
    return names


def test_what_is_known_is_told_before_the_next_are_read(
    read: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told_when_read: list[int] = []

    class Output:
        def write(self, text: str) -> None:
            told_when_read.append(len(read))

        def flush(self) -> None:
            pass

    (Path("many") / BROKEN).unlink()
    monkeypatch.setattr("sys.stdout", Output())
    predict.run(["many"], None, as_json=False)
    assert told_when_read[0] == BATCH
    assert told_when_read[BATCH] == 2 * BATCH
    assert len(told_when_read) == MANY - 1


def test_lines_stand_under_each_other(read: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("b.png").touch()
    predict.run(["many/a0000.png", "b.png"], None, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "many/a0000.png  no      100.0%  looks like nothing that doubling was trained on",
        "b.png           indeed  100.0%",
    ]


def test_json_is_one_array_of_all_and_mistakes_are_told_beside_it(
    read: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PipelineError, match=f"1 of {MANY} could not be read"):
        predict.run(["many"], None, as_json=True)
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert [Path(entry["image"]).name for entry in found] == read
    assert len(read) == MANY - 1
    assert found[0] == {
        "image": "many/a0000.png",
        "label": "no",
        "probability": 1.0,
        "probabilities": {"no": 1.0, "indeed": 0.0},
        "warning": "looks like nothing that doubling was trained on",
    }
    assert printed.err == f"predict: many/{BROKEN}: no PNG or JPEG picture\n"
    assert printed.out == json.dumps(found, indent=2) + "\n"


def test_json_of_no_picture_is_an_empty_array(read: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PipelineError, match="1 of 1 could not be read"):
        predict.run([f"many/{BROKEN}"], None, as_json=True)
    assert json.loads(capsys.readouterr().out) == []


def test_a_name_that_is_no_text_is_told_all_the_same(read: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("b\udcff.png").touch()
    for as_json in (False, True):
        predict.run(["b\udcff.png"], None, as_json=as_json)
        assert "b?.png" in capsys.readouterr().out


def test_what_is_neither_file_nor_folder_is_told_and_the_rest_is_read(
    read: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe.png")
    long = "x" * 300 + ".png"
    with pytest.raises(PipelineError, match="2 of 3 could not be read"):
        predict.run(["pipe.png", long, "many/a0000.png"], None, False)
    assert read == ["a0000.png"]
    told = capfd.readouterr().err
    assert "predict: pipe.png: neither a file nor a folder" in told
    assert f"predict: {long}: cannot be read: File name too long" in told
