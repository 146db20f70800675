"""Pictures are read, classified and printed some at a time, and what cannot be read is reported beside them."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_pipeline.commands import predict
from mnist_pipeline.errors import PipelineError

BATCH = predict.BATCH_SIZE
MANY = 2 * BATCH + 50
BROKEN = "b0007.png"


class Doubling:
    """A network of two labels; a picture's first pixel is the index of its label, and those of "no" get a warning."""

    metadata = SimpleNamespace(model="doubling", label_names=["no", "indeed"], picture={"fit": "cover"})
    image_shape = (5, 4, 3)

    def classify(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        assert len(images) <= BATCH
        indeed = images[:, 0, 0, 0] > 0
        return np.stack([~indeed, indeed], 1).astype(np.float32), ~indeed


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """The names of the pictures in the order in which they are read; the folder that holds them is the working one."""
    names: list[str] = []

    def prepare(path: Path, settings: dict[str, str], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        assert (settings, shape) == (Doubling.metadata.picture, Doubling.image_shape)
        if path.name == BROKEN or not path.is_file():
            raise PipelineError(f"{path}: no picture")
        names.append(path.name)
        return np.full(shape, path.name.startswith("b"), dtype=np.uint8)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predict, "prepare", prepare)
    monkeypatch.setattr(predict, "_network", lambda model: Doubling())
    Path("many").mkdir()
    for number in range(MANY):
        (Path("many") / f"{'ab'[number % 2]}{number:04}.png").touch()
    return names


def test_a_batch_is_printed_before_the_next_is_read(read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read_when_printed: list[int] = []

    class Output(io.StringIO):
        def write(self, text: str) -> int:
            read_when_printed.append(len(read))
            return len(text)

    (Path("many") / BROKEN).unlink()
    monkeypatch.setattr("sys.stdout", Output())
    predict.run(["many"], None, as_json=False)
    assert (read_when_printed[0], read_when_printed[BATCH]) == (BATCH, 2 * BATCH)
    assert len(read_when_printed) == MANY - 1


def test_lines_stand_under_each_other(read: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("b.png").touch()
    predict.run(["many/a0000.png", "b.png"], None, as_json=False)
    first, second = capsys.readouterr().out.splitlines()
    assert first.split(maxsplit=3)[:3] == ["many/a0000.png", "no", "100.0%"]
    assert "doubling" in first.split(maxsplit=3)[3]
    assert second.split() == ["b.png", "indeed", "100.0%"]
    assert first.index("100.0%") == second.index("100.0%")


def test_json_is_one_array_of_all_and_failures_are_reported_beside_it(
    read: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PipelineError, match=f"1 of {MANY}"):
        predict.run(["many"], None, as_json=True)
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert [Path(entry["image"]).name for entry in found] == read
    assert len(read) == MANY - 1
    assert (found[0].pop("warning") is None, found[-1].pop("warning") is None) == (False, True)
    no = {"label": "no", "probability": 1.0, "probabilities": {"no": 1.0, "indeed": 0.0}}
    assert found[0] == {"image": "many/a0000.png", **no}
    assert [BROKEN in line for line in printed.err.splitlines()] == [True]
    with pytest.raises(PipelineError, match="1 of 1"):
        predict.run([f"many/{BROKEN}"], None, as_json=True)
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(("name", "printed"), [("b\udcff.png", "b?.png"), ("b\x1b[2J\n.png", "b?[2J?.png")])
def test_a_name_that_is_no_text_is_printed_with_replacements(
    read: list[str], capsys: pytest.CaptureFixture[str], name: str, printed: str
) -> None:
    Path(name).touch()
    predict.run([name], None, as_json=False)
    assert capsys.readouterr().out.startswith(f"{printed}  ")
    predict.run([name], None, as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["image"] == name.replace("\udcff", "?")


def test_what_cannot_be_read_is_reported_and_the_rest_is_classified(
    read: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe.png")
    Path("nothing").mkdir()
    Path("mixed/deeper").mkdir(parents=True)
    for name in ("b.png", "labels.txt", "deeper/b2.png"):
        (Path("mixed") / name).touch()
    failing = ["pipe.png", "x" * 300 + ".png", "nothing", "gone.jpg", "\x1b[2J.png"]
    with pytest.raises(PipelineError, match="5 of 8"):
        predict.run([*failing, "many/a0000.png", "mixed"], None, False)
    assert read == ["a0000.png", "b.png", "b2.png"]
    reported = capfd.readouterr().err
    assert len(reported.splitlines()) == 6
    assert "mixed: 1 of 3" in reported
    assert "\x1b" not in reported
