"""The pictures are the same bytes each time, on any user's settings, whatever they are given."""

import struct
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from mnist_pipeline.evaluation.figures import (
    draw_attack,
    draw_confusion,
    draw_missed_by_all,
    draw_mistakes,
    draw_out_of_distribution,
    draw_reliability,
    draw_robustness,
    draw_selection,
    draw_slices,
    slice_names,
)
from mnist_pipeline.evaluation.slices import PROPERTIES

LONG_NAMES = ["T-shirt/top", "Ankle boot"]


def confusion(names: list[str], mistakes: int) -> pd.DataFrame:
    counts = np.full((len(names), len(names)), mistakes)
    np.fill_diagonal(counts, 900)
    return pd.DataFrame(counts, index=names, columns=names)


def reliability(*confidences: float) -> pd.DataFrame:
    bounds = {"accuracy_low": 0.2, "accuracy_high": 1.0}
    return pd.DataFrame({"confidence": confidences, "accuracy": confidences, "count": 10, **bounds})


def mistakes(count: int, names: list[str]) -> tuple[np.ndarray, pd.DataFrame]:
    rows = {"image": range(count), "label": names[0], "predicted": names[1], "confidence": 0.987}
    return np.full((count, 28, 28), 99, np.uint8), pd.DataFrame(rows, columns=list(rows), index=range(count))


def missed(
    count: int, names: list[str], suspected: int = 0, models: int = 2
) -> tuple[np.ndarray, pd.DataFrame, list[str]]:
    rows = {
        "image": range(count),
        "label": names[0],
        "suspected_label": [names[1]] * suspected + [""] * (count - suspected),
    }
    for model in range(models):
        rows |= {f"{model}_predicted": names[1 + model % 2], f"{model}_confidence": 0.987}
    table = pd.DataFrame(rows, columns=list(rows), index=range(count))
    return np.full((count, 28, 28), 99, np.uint8), table, [str(model) for model in range(models)]


def robustness(*corruptions: str) -> tuple[pd.DataFrame, float, np.ndarray, int]:
    rows = [(name, strength, 1 - strength / 5) for name in corruptions for strength in range(1, 6)]
    table = pd.DataFrame(rows, columns=["corruption", "strength", "accuracy"])
    return table, 0.99, np.full((len(corruptions), 28, 28), 99, np.uint8), 3


def attack(images: int) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    table = pd.DataFrame({"strength": [0, 8], "accuracy": [0.9, 0.25]})
    rows = [(strength, image, "T-shirt/top", strength == 0) for strength in (0, 8) for image in range(images)]
    examples = pd.DataFrame(rows, columns=["strength", "image", "predicted", "right"])
    return table, examples, np.full((len(rows), 28, 28), 99, np.uint8)


def out_of_distribution(*kinds: str) -> tuple[pd.DataFrame, dict[str, np.ndarray], dict[str, np.ndarray], float]:
    rows = [(kind, 0.5, 0.9, 0.1) for kind in kinds]
    every = ("test images", *kinds)
    return (
        pd.DataFrame(rows, columns=["kind", "mean_confidence", "auroc", "fpr_at_95_tpr"]),
        {kind: np.full(3, 7.0 + number) for number, kind in enumerate(every)},
        {kind: np.full((9, 28, 28), 99, np.uint8) for kind in every},
        6.5,
    )


def slices(*properties: str) -> pd.DataFrame:
    rows = [(name, 0.1, 1234.5678, 0.95, 0.9, 0.97) for name in properties]
    return pd.DataFrame(rows, columns=["property", "least", "most", "accuracy", "accuracy_low", "accuracy_high"])


CALIBRATED = {
    "temperature": 1.25,
    "expected_calibration_error": 0.0123,
    "expected_calibration_error_scaled": 0.0012,
}

PICTURES: dict[str, Callable[[], bytes]] = {
    "confusion": lambda: draw_confusion(confusion(["0", "1", "2"], 3)),
    "confusion of long names": lambda: draw_confusion(confusion(LONG_NAMES, 12)),
    "confusion without mistakes": lambda: draw_confusion(confusion(["0", "1"], 0)),
    "reliability": lambda: draw_reliability(reliability(0.3, 0.6, 0.9), reliability(0.4, 0.7), CALIBRATED),
    "reliability of one bin": lambda: draw_reliability(reliability(1.0), reliability(1.0), CALIBRATED),
    "selection": lambda: draw_selection(
        pd.DataFrame({"coverage": [1.0, 0.9], "errors": [1, 0], "accuracy": [0.99, 1.0]})
    ),
    "slices": lambda: draw_slices(slices("ink", "slant"), 0.95),
    "robustness": lambda: draw_robustness(*robustness("noise", "blur")),
    "attack": lambda: draw_attack(*attack(2)),
    "attack on one image": lambda: draw_attack(*attack(1)),
    "out of distribution": lambda: draw_out_of_distribution(*out_of_distribution("blank", "uniform_noise")),
    "one familiarity": lambda: draw_out_of_distribution(*out_of_distribution()),
    "mistakes": lambda: draw_mistakes(*mistakes(9, ["4", "9"]), total=56),
    "mistakes of long names": lambda: draw_mistakes(*mistakes(9, LONG_NAMES), total=9),
    "one mistake": lambda: draw_mistakes(*mistakes(1, ["4", "9"]), total=1),
    "missed": lambda: draw_missed_by_all(*missed(9, ["4", "9", "7"]), total=56),
    "missed with suspected labels": lambda: draw_missed_by_all(*missed(9, ["4", "9", "7"], suspected=2), total=56),
    "missed by three": lambda: draw_missed_by_all(*missed(9, ["4", "9", "7"], models=3), total=9),
    "missed by one": lambda: draw_missed_by_all(*missed(1, ["4", "9"], models=1), total=1),
    "missed of long names": lambda: draw_missed_by_all(*missed(9, [*LONG_NAMES, "Dress"]), total=9),
    "nothing missed": lambda: draw_missed_by_all(*missed(0, ["4", "9", "7"]), total=0),
    "no mistakes": lambda: draw_mistakes(*mistakes(0, ["4", "9"]), total=0),
}


def chunks(png: bytes) -> list[bytes]:
    names, position = [], 8
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        names.append(png[position + 4 : position + 8])
        position += length + 12
    return names


def size(png: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_is_a_png_without_notes_and_repeats(picture: str) -> None:
    content = PICTURES[picture]()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert set(chunks(content)) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}
    assert PICTURES[picture]() == content


def test_no_two_pictures_are_alike() -> None:
    assert len({draw() for draw in PICTURES.values()}) == len(PICTURES)


def test_the_user_s_settings_do_not_matter_and_stay_as_they_were() -> None:
    expected = PICTURES["mistakes"]()
    with mpl.rc_context({"font.size": 30, "figure.facecolor": "red", "savefig.dpi": 300}):
        assert PICTURES["mistakes"]() == expected
        assert mpl.rcParams["font.size"] == 30


def test_long_names_widen_the_grid_and_more_mistakes_heighten_it() -> None:
    short, wide = size(PICTURES["mistakes"]()), size(PICTURES["mistakes of long names"]())
    assert wide[0] > short[0]
    assert size(PICTURES["no mistakes"]())[1] < size(PICTURES["one mistake"]())[1] < short[1]


def test_pixels_reach_the_picture() -> None:
    images, rows = mistakes(1, ["4", "9"])
    assert draw_mistakes(images, rows, total=1) != draw_mistakes(images + 100, rows, total=1)


def test_what_an_attack_does_to_the_images_and_their_predictions_reaches_the_picture() -> None:
    table, examples, images = attack(2)
    before = draw_attack(table, examples, images)
    assert draw_attack(table, examples, images + 100) != before
    assert draw_attack(table, examples.assign(right=True), images) != before
    assert draw_attack(table, examples.assign(predicted="Coat"), images) != before


def test_what_is_out_of_distribution_is_shown_beside_its_familiarity() -> None:
    table, scores, images, least = out_of_distribution("blank", "uniform_noise")
    before = draw_out_of_distribution(table, scores, images, least)
    assert draw_out_of_distribution(table, scores | {"blank": np.full(3, 7.9)}, images, least) != before
    assert draw_out_of_distribution(table, scores, images | {"blank": images["blank"] + 100}, least) != before
    assert draw_out_of_distribution(table.assign(auroc=0.5), scores, images, least) != before
    assert draw_out_of_distribution(table, scores, images, least + 1) != before


def test_the_intervals_of_the_reliability_reach_the_picture() -> None:
    table = reliability(0.3, 0.6)
    before = draw_reliability(table, table, CALIBRATED)
    assert draw_reliability(table.assign(accuracy_low=0.1), table, CALIBRATED) != before
    assert draw_reliability(table, table.assign(accuracy_high=0.7), CALIBRATED) != before


def test_slices_are_named_with_their_units() -> None:
    shown = slice_names(slices(*PROPERTIES).assign(least=-1.5, most=0.25))
    assert shown == [
        "ink −1.5 to 0.25 of white",
        "slant −1.5 to 0.25°",
        "stroke width −1.5 to 0.25 pixels",
        "size −1.5 to 0.25 pixels²",
    ]
