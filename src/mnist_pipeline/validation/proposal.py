"""A suite for data like those that are trusted: other images of the same source, as many.

Each bound allows for chance: `DEVIATIONS` standard deviations of what it bounds, estimated from these data; where
single images are bounded, as many of them as chance puts beyond.
"""

from collections.abc import Mapping, Sequence
from math import ceil, floor, sqrt
from typing import Any

import pandas as pd

from mnist_pipeline.validation.duplicates import NEAR
from mnist_pipeline.validation.labels import CONTRADICTED
from mnist_pipeline.validation.statistics import COLOURS, FEW_QUANTILE, Tables, box_aspects

DEVIATIONS = 4.0
FALSE_ALARM_RATE = 1e-5  # how probable it may be that chance alone puts too many images beyond one column's bounds
# The rest are shares, chance aside:
DRIFT = 0.02  # by which a number of a whole split may be another
SMALLEST_CLASS = 0.9  # of its images, which a class must have where counts are not exact
LARGEST_CLASS = 1.1  # as large, beside the smallest, a class may become
LESS_ACCURATE = 0.01  # by which an accuracy may fall: a classifier that has learnt from other images is another one
PARTS = 10_000  # of one, in which bounds are written


def propose(
    tables: Tables, facts: Mapping[str, Any], classes: int, of_strokes: bool, exact_counts: bool
) -> dict[str, Any]:
    """The keys of a suite that trusted data meet, and data like them, but as little else as can be.

    `tables` and `facts` are those of `image_tables` and `whole_set_facts` of the data, whose labels are of so many
    `classes`. Images `of_strokes` are bright on black, in one piece, centred.
    """
    both = pd.concat(tables.values())
    counts = {name: [facts[name]["count"].get(str(label), 0) for label in range(max(2, classes))] for name in tables}
    present = {name: [count for count in of_split if count] or [1] for name, of_split in counts.items()}
    # From the least to the most that there is: wider bounds would let whole groups of damaged images pass
    bounded = ("mean", "std", "max", "sharpness", "roughness", "ink_fraction", "box_side", "centre_distance")
    ends = {name: [_down(both[name].min()), _up(both[name].max())] for name in bounded}
    columns = {name: [table[name] for table in tables.values()] for name in both}
    images = [len(table) for table in tables.values()]
    blank, near = [column == 0 for column in columns["std"]], [column <= NEAR for column in columns["nearest"]]
    suite = {
        "classes": max(2, classes),
        "image_shape": [int(both[name].iloc[0]) for name in ("height", "width", "channels")],
        "train_min_per_class": _fewest(min(present["train"])),
        "test_min_per_class": _fewest(min(present["test"])),
        "max_class_ratio": max(_class_ratio(min(of_split), max(of_split)) for of_split in present.values()),
        "pixel_mean": _around([column / 255 for column in columns["mean"]]),
        # known about as well as the mean of the images' own deviations
        "pixel_std": _around(
            [column / 255 for column in columns["std"]], [facts[name]["pixel_std"] for name in tables]
        ),
        "min_sharpness": ends["sharpness"][0],
        "roughness": ends["roughness"],
        "max_outlier_share": max(_up(_most_outliers(size, len(both)) / size) for size in images),
        # blank or repeated images come up only where something is wrong, doubtful labels by chance too
        "max_blank_share": _share(blank) if any(map(any, blank)) else 0.0,
        "max_duplicate_share": _share(near) if any(map(any, near)) else 0.0,
        "max_contradicted_share": _share([column > CONTRADICTED for column in columns["contradiction"]]),
        "min_agreement": _lowest([facts[name]["agreement"] for name in tables], images),
        "min_centroid_accuracy": _lowest([facts[name]["centroid_accuracy"] for name in tables], images),
    }
    if exact_counts:
        suite |= {"train_counts": counts["train"], "test_counts": counts["test"]}
    elif untested := [label for label, count in enumerate(counts["test"]) if not count]:
        suite["without_test_images"] = untested
    if "unreadable_share" in facts:
        suite["max_unreadable_share"] = _up(facts["unreadable_share"])
    if of_strokes:
        return suite | {
            "brightest": ends["max"],
            "grey_levels": _around(columns["grey_levels"], parts=1),
            "few_grey_levels": _quantile_range(columns["grey_levels"]),
            "ink_fraction": ends["ink_fraction"],
            "box_side": ends["box_side"],
            "box_aspect": _around([box_aspects(table) for table in tables.values()]),
            "max_centre_distance": max(0.01, ends["centre_distance"][1]),
        }
    suite |= {"brightness": ends["mean"], "contrast": ends["std"]}
    if colours := [name for name in COLOURS if name in both]:
        balances = [[(table[name] - table["mean"]) / 255 for table in tables.values()] for name in colours]
        suite["colour_balance"] = [_around(balance) for balance in balances]
    return suite


def _fewest(count: int) -> int:
    return max(1, floor(SMALLEST_CLASS * count - DEVIATIONS * sqrt(count)))


def _class_ratio(least: int, most: int) -> float:
    """Each count is known to about its own root."""
    return _up(LARGEST_CLASS * most / least * (1 + DEVIATIONS * sqrt(1 / least + 1 / most)))


def _around(
    columns: Sequence["pd.Series[float]"], found: Sequence[float] | None = None, parts: int = PARTS
) -> list[float]:
    """Around the mean of each column, or the value that was found in its place, as far as the mean may drift."""
    ends = []
    for value, column in zip(found or [float(column.mean()) for column in columns], columns, strict=True):
        reach = DRIFT * abs(value) + DEVIATIONS * float(column.std(ddof=0)) / sqrt(len(column))
        ends += [value - reach, value + reach]
    return [_down(min(ends), parts), _up(max(ends), parts)]


def _quantile_range(columns: Sequence["pd.Series[int]"]) -> list[float]:
    """What the quantile may be, by the values whose ranks chance may exchange it with."""
    ends = []
    for values in columns:
        reach = DEVIATIONS * sqrt(FEW_QUANTILE * (1 - FEW_QUANTILE) / len(values))
        ends += [float(values.quantile(min(1, max(0, FEW_QUANTILE + sign * reach)))) for sign in (-1, 1)]
    return [_down(max(0.0, min(ends) - 1), 1), _up(max(ends) + 1, 1)]


def _most_outliers(images: int, trusted: int) -> int:
    """How many of so many other images may be beyond the least and the most of the trusted ones.

    Of images in a random order, as many come before the first trusted one as coins show heads before the first tail,
    where a head is as probable as an image that is not trusted; and so at the other end. So the sum has a negative
    binomial distribution.
    """
    from scipy.stats import nbinom

    return min(images, int(nbinom.isf(FALSE_ALARM_RATE, 2, trusted / (images + trusted))))


def _share(columns: Sequence["pd.Series[bool]"]) -> float:
    """Of as many odd images as chance may bring where there were these."""
    shares = ((int(odd.sum()) + DEVIATIONS * sqrt(int(odd.sum()) + 1)) / len(odd) for odd in columns)
    return min(1.0, _up(max(shares)))


def _lowest(accuracies: Sequence[float], images: Sequence[int]) -> float:
    errors = [sqrt(max(a * (1 - a), 1 / size) / size) for a, size in zip(accuracies, images, strict=True)]
    lowest = min(a - LESS_ACCURATE - DEVIATIONS * error for a, error in zip(accuracies, errors, strict=True))
    return max(0.0, _down(lowest))


def _down(value: float, parts: int = PARTS) -> float:
    return floor(round(value * parts, 6)) / parts


def _up(value: float, parts: int = PARTS) -> float:
    return ceil(round(value * parts, 6)) / parts
