"""Figures are the same bytes each time, on any user's settings, whatever they are given."""

import struct
from collections.abc import Callable
from io import BytesIO
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from mnist_pipeline.evaluation.accuracy import draw_confusion, draw_mistakes
from mnist_pipeline.evaluation.attack import STRENGTHS, draw_attack
from mnist_pipeline.evaluation.curves import CURVES, draw_curves
from mnist_pipeline.stages.compare import draw_missed
from mnist_pipeline.stages.evaluate import find_analyses

LONG = ["T-shirt/top", "Ankle boot", "Dress"]
GREY = np.full((9, 28, 28, 1), 99, np.uint8)


def attack(accuracy: float) -> bytes:
    table = pd.DataFrame({"strength": STRENGTHS, "accuracy": accuracy})
    return draw_attack(table, [[(GREY[0], name, True) for name in LONG]] * len(table))


def curves(epochs: int) -> bytes:
    columns = dict.fromkeys(CURVES, np.linspace(0.9, 0.99, epochs))
    return draw_curves(pd.DataFrame({"epoch": range(1, epochs + 1), **columns}))


def mistakes(count: int, names: list[str]) -> bytes:
    columns = {"image": range(count), "label": names[0], "predicted": names[1], "confidence": 0.987}
    return draw_mistakes(GREY, pd.DataFrame(columns, index=range(count)), 9)


def missed(count: int, suspected: int = 0, models: int = 2, most: int = 9) -> bytes:
    labels = [LONG[1]] * suspected + [""] * (count - suspected)
    columns = {"image": range(count), "label": LONG[0], "suspected_label": labels}
    for model in range(models):
        columns |= {f"{model}_predicted": LONG[1 + model % 2], f"{model}_confidence": 0.987}
    return draw_missed(GREY, pd.DataFrame(columns, index=range(count)), [str(model) for model in range(models)], most)


FIGURES = {
    "attack that harms little": lambda: attack(1.0),
    "confusion": lambda: draw_confusion(np.diag([900, 900]) + 3, ["0", "1"]),
    "confusion of long names": lambda: draw_confusion(np.diag([900, 900, 900]) + 3, LONG),
    "confusion of two prices": lambda: draw_confusion(np.diag([900, 900]) + 3, ["$5", "$10 or \\more$"]),
    "curves": lambda: curves(9),
    "curves of one epoch": lambda: curves(1),
    "mistakes": lambda: mistakes(9, ["4", "9"]),
    "mistakes of long names": lambda: mistakes(9, LONG),
    "one mistake": lambda: mistakes(1, ["4", "9"]),
    "no mistakes": lambda: mistakes(0, ["4", "9"]),
    "missed": lambda: missed(9),
    "some of the missed": lambda: missed(9, most=5),
    "missed with suspected labels": lambda: missed(9, suspected=2),
    "missed by three": lambda: missed(9, models=3),
    "missed by one": lambda: missed(1, models=1),
    "nothing missed": lambda: missed(0),
}


@pytest.fixture(scope="module")
def drawn() -> dict[str, bytes]:
    return {name: draw() for name, draw in FIGURES.items()}


def test_figures_differ_and_are_png_files_without_notes(drawn: dict[str, bytes]) -> None:
    assert len(set(drawn.values())) == len(drawn)
    for content in drawn.values():
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert b"tEXt" not in content
    sizes = {name: struct.unpack(">II", png[16:24]) for name, png in drawn.items()}
    assert sizes["mistakes of long names"][0] > sizes["mistakes"][0]
    assert sizes["no mistakes"][1] < sizes["one mistake"][1] < sizes["mistakes"][1]


def test_the_user_s_settings_do_not_matter_and_stay_as_they_were(drawn: dict[str, bytes]) -> None:
    with mpl.rc_context({"font.size": 30, "figure.facecolor": "red", "savefig.dpi": 300}):
        assert FIGURES["confusion"]() == drawn["confusion"]
        assert mpl.rcParams["font.size"] == 30


@pytest.mark.parametrize("classes", [10, 26, 100, 1000])
@pytest.mark.parametrize("name", ["{}", "a long name of a class that nobody can read {}"])
def test_a_confusion_matrix_of_many_classes_has_a_sensible_size(classes: int, name: str, drawn_by) -> None:
    names = [name.format(number) for number in range(classes)]
    (figure,) = drawn_by(lambda: draw_confusion(np.eye(classes, dtype=np.int64) + 1, names))
    width, height = 110 * figure.get_size_inches()
    assert 500 < width < 1250
    assert 500 < height < 1250
    figure.draw_without_rendering()
    axes = figure.axes[0]
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        boxes = [label.get_window_extent() for label in labels]
        assert len(boxes) >= min(classes, 20)
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


SHAPES = {
    "strokes": (28, 28, 1),
    "small": (8, 8, 1),
    "colour": (64, 64, 3),
    "opacity": (32, 96, 4),
    "large": (224, 224, 1),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_no_text_of_a_figure_is_cut_off_or_touches_another(given, pictures, drawn_by, kind: str) -> None:
    def draw() -> None:
        for analysis in find_analyses():
            analysis.analyse(given if kind == "strokes" else pictures(SHAPES[kind], LONG))
        for function in FIGURES.values():
            function()

    for figure in drawn_by(draw):
        figure.draw_without_rendering()
        axises = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
        ticks = {label for axis in axises for label in axis.findobj(Text) if label is not axis.label}
        texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text() and text not in ticks]
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
        for name, box in boxes:
            assert box.x0 >= 0, name
            assert box.y0 >= 0, name
            assert box.x1 <= figure.bbox.x1, name
            assert box.y1 <= figure.bbox.y1, name
        assert [
            (one[0], other[0]) for one, other in combinations(boxes, 2) if one[1].padded(2).overlaps(other[1])
        ] == []


@pytest.fixture
def drawn_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], list[Figure]]:
    """The figures that a function draws."""
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))

    def collect(draw: Callable[[], object]) -> list[Figure]:
        draw()
        return figures

    return collect


def pixels_of(png: bytes) -> NDArray[np.int64]:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB")).reshape(-1, 3).astype(int)


@pytest.mark.parametrize(
    ("pixel", "ground", "expected"),
    [
        ([230], [0], (25, 25, 25)),  # strokes are ink on paper
        ([230], [120], (230, 230, 230)),
        ([250, 20, 30], [0, 0, 0], (250, 20, 30)),
        ([250, 20, 30, 255], [0, 0, 0, 0], (250, 20, 30)),
        ([50, 50, 50, 51], [0, 0, 0, 0], (214, 214, 214)),  # over white
    ],
)
def test_a_picture_is_shown_in_its_own_colours(pixel: list[int], ground: list[int], expected: tuple[int, ...]) -> None:
    images = np.tile(np.array(ground, np.uint8), (1, 20, 20, 1))
    images[:, 6:14, 6:14] = pixel
    mistakes = pd.DataFrame({"image": [0], "label": "a", "predicted": "b", "confidence": 0.9})
    shown = pixels_of(draw_mistakes(images, mistakes, 9))
    assert (np.abs(shown - expected).max(axis=1) <= 1).sum() > 500
