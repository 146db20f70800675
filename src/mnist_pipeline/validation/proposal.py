"""What a gate may ask of data like those that are trusted: other images of the same source, as many.

Each bound leaves room for chance: `DEVIATIONS` standard deviations of what it bounds, as these data tell them; where
single images are bounded, as many of them as chance puts beyond.
"""

from collections.abc import Iterable, Mapping
from math import ceil, floor, sqrt
from typing import Any

import pandas as pd

from mnist_pipeline.validation.agreement import CONTRADICTED
from mnist_pipeline.validation.neighbours import NEAR
from mnist_pipeline.validation.profile import FEW, Tables, box_aspects

DEVIATIONS = 4.0
BY_ACCIDENT = 1e-5
"""How probable it may be that chance alone puts too many images beyond the bounds of one column."""
DRIFT = 0.02
"""By which share of itself a number of a whole split may be another, chance aside."""
SMALLEST_CLASS = 0.9
"""The share of its images that a class must have where exact counts are not asked, chance aside."""
LARGEST_CLASS = 1.1
"""How much larger, beside the smallest, a class may become, chance aside."""
LESS_ACCURATE = 0.01
"""How much lower an accuracy may be, chance aside: what has learnt from other images is not the same."""
PARTS = 10_000
"""Bounds are written in so many parts of one."""

MEANS: dict[str, Any] = {
    "pixel_mean": lambda table: table["mean"] / 255,
    "box_aspect": box_aspects,
    "grey_levels": lambda table: table["grey_levels"],
}
"""The numbers of a whole split that are a mean over its images, and of what."""
ODD: dict[str, Any] = {
    "max_blank_share": lambda table: table["std"] == 0,
    "max_duplicate_share": lambda table: table["nearest"] <= NEAR,
    "max_contradicted_share": lambda table: table["contradiction"] > CONTRADICTED,
}
"""The shares of odd images, and which images are so."""
BY_CHANCE = ("max_contradicted_share",)
"""Images that may come up where there were none; blank or repeated ones only come up where something is wrong."""


def propose(tables: Tables, facts: Mapping[str, Any], exact_counts: bool) -> dict[str, Any]:
    """The keys of a suite that trusted data meet, and data like them, but as little else as can be.

    `tables` and `facts` are what `image_tables` and `whole_set_facts` say of the data.
    """
    both = pd.concat(tables.values())
    classes = max(2, int(both["label"].max()) + 1)
    counts = {
        split: [facts[split]["count"].get(str(label), 0) for label in range(classes)] for split in ("train", "test")
    }
    return {
        "classes": classes,
        "train_counts": counts["train"] if exact_counts else None,
        "test_counts": counts["test"] if exact_counts else None,
        "train_min_per_class": _fewest(counts["train"]),
        "test_min_per_class": _fewest(counts["test"]),
        "max_class_ratio": max(_class_ratio(of_split) for of_split in counts.values()),
        **{name: _mean_range(name, columns, tables) for name, columns in MEANS.items()},
        "pixel_std": _deviation_range(tables, facts),
        "few_grey_levels": _quantile_range([table["grey_levels"] for table in tables.values()]),
        **_of_images(both),
        "max_outlier_share": max(_up(_beyond(len(table), len(both)) / len(table)) for table in tables.values()),
        **_shares(tables),
        "min_agreement": _lowest(tables, facts, "agreement"),
        "min_centroid_accuracy": _lowest(tables, facts, "centroid_accuracy"),
    }


def _fewest(counts: list[int]) -> int:
    fewest = min(counts)
    return max(0, floor(SMALLEST_CLASS * fewest - DEVIATIONS * sqrt(fewest)))


def _class_ratio(counts: list[int]) -> float:
    """Each count is known to about its own root."""
    least, most = max(1, min(counts)), max(counts)
    return _up(LARGEST_CLASS * most / least * (1 + DEVIATIONS * sqrt(1 / least + 1 / most)))


def _mean_range(name: str, of_images: Any, tables: Tables) -> list[float]:
    ends = []
    for table in tables.values():
        values = of_images(table)
        mean, error = float(values.mean()), _standard_error(values)
        reach = DRIFT * abs(mean) + DEVIATIONS * error
        ends += [mean - reach, mean + reach]
    return _range(ends, whole=name.endswith("levels"))


def _deviation_range(tables: Tables, facts: Mapping[str, Any]) -> list[float]:
    """Of the deviation of all pixels, which is known about as well as the mean of the images' own."""
    ends = []
    for split, table in tables.items():
        found = facts[split]["pixel_std"]
        reach = DRIFT * found + DEVIATIONS * _standard_error(table["std"] / 255)
        ends += [found - reach, found + reach]
    return _range(ends)


def _quantile_range(columns: list["pd.Series[int]"]) -> list[float]:
    """What the quantile may be, by the values whose ranks chance may exchange it with."""
    ends = []
    for values in columns:
        reach = DEVIATIONS * sqrt(FEW * (1 - FEW) / len(values))
        ends += [float(values.quantile(min(1, max(0, FEW + sign * reach)))) for sign in (-1, 1)]
    return _range([min(ends) - 1, max(ends) + 1], whole=True)


def _standard_error(values: "pd.Series[float]") -> float:
    return float(values.std(ddof=0)) / sqrt(len(values))


def _range(ends: Iterable[float], whole: bool = False) -> list[float]:
    least, most = max(0.0, min(ends)), max(ends)
    return [float(floor(least)), float(ceil(most))] if whole else [_down(least), _up(most)]


def _of_images(table: pd.DataFrame) -> dict[str, Any]:
    """From the least to the most that was seen.

    Wider bounds would let whole groups of damaged images through; those that chance puts beyond are counted.
    """
    names = ("max", "sharpness", "roughness", "ink_fraction", "box_side", "centre_distance")
    seen = {name: (float(table[name].min()), float(table[name].max())) for name in names}
    return {
        "brightest": list(seen["max"]),
        "min_sharpness": seen["sharpness"][0],
        "roughness": _range(seen["roughness"]),
        "ink_fraction": _range(seen["ink_fraction"]),
        "box_side": list(seen["box_side"]),
        "max_centre_distance": max(0.01, _up(seen["centre_distance"][1])),
    }


def _beyond(images: int, trusted: int) -> int:
    """How many of so many other images may be beyond the least and the most of the trusted ones.

    Of images in a random order, as many come before the first trusted one as coins show heads before the first tail,
    where a head is as probable as an image that is not trusted; and so at the other end. So the sum has a negative
    binomial distribution.
    """
    head, count = images / (images + trusted), 0
    while head ** (count + 1) * (1 + (count + 1) * (1 - head)) > BY_ACCIDENT:
        count += 1
    return min(count, images)


def _shares(tables: Tables) -> dict[str, float]:
    shares = {}
    for name, is_odd in ODD.items():
        counts = [(int(is_odd(table).sum()), len(table)) for table in tables.values()]
        possible = name in BY_CHANCE or any(count for count, _ in counts)
        shares[name] = max(_share(count, images) for count, images in counts) if possible else 0.0
    return shares


def _share(count: int, images: int) -> float:
    """Of as many odd images as chance may bring where there were `count` of them."""
    return min(1.0, _up((count + DEVIATIONS * sqrt(count + 1)) / images))


def _lowest(tables: Tables, facts: Mapping[str, Any], name: str) -> float:
    found = []
    for split, table in tables.items():
        accuracy = facts[split][name]
        error = sqrt(max(accuracy * (1 - accuracy), 1 / len(table)) / len(table))
        found.append(accuracy - LESS_ACCURATE - DEVIATIONS * error)
    return max(0.0, _down(min(found)))


def _down(value: float) -> float:
    return floor(round(value * PARTS, 6)) / PARTS


def _up(value: float) -> float:
    return ceil(round(value * PARTS, 6)) / PARTS
