"""Figures are the same bytes each time, on any user's settings, whatever they are given."""

import struct

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from mnist_pipeline.evaluation.accuracy import draw_confusion, draw_mistakes
from mnist_pipeline.stages.compare import draw_missed

LONG = ["T-shirt/top", "Ankle boot", "Dress"]
GREY = np.full((9, 28, 28), 99, np.uint8)


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
    "confusion": lambda: draw_confusion(np.diag([900, 900]) + 3, ["0", "1"]),
    "confusion of long names": lambda: draw_confusion(np.diag([900, 900, 900]) + 3, LONG),
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
