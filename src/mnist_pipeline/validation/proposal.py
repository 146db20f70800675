"""What a gate may ask of data like those that are trusted."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor
from typing import Any

import pandas as pd

from mnist_pipeline.data.dataset import SplitName
from mnist_pipeline.validation.agreement import CONTRADICTED
from mnist_pipeline.validation.neighbours import NEAR

SMALLEST_CLASS = 0.9
"""Of the images of the smallest class, the share that each class must have where exact counts are not asked."""
OUTLIERS = 0.001
"""Share of images that may be beyond all that was seen, as of new images some are; two where that is less than two."""
WIDER = 0.1
"""By which share of what was seen the bounds of single images are wider than it."""
DRIFT = {"pixel_mean": 0.03, "pixel_std": 0.03, "box_aspect": 0.03, "grey_levels": 0.03, "few_grey_levels": 0.1}
"""By which share of itself a number of a whole split may be another; what few images tell drifts more."""
LESS_ACCURATE = 0.01
PARTS = 10_000
"""Bounds are written in so many parts of one."""

Tables = Mapping[SplitName, pd.DataFrame]


def propose(tables: Tables, facts: Mapping[str, Any], exact_counts: bool) -> dict[str, Any]:
    """The keys of a suite that trusted data meet, and data like them, but as little else as can be.

    `tables` and `facts` are what `image_tables` and `whole_set_facts` say of the data.
    """
    both = pd.concat(tables.values())
    counts = {
        split: [facts[split]["count"].get(str(label), 0) for label in range(int(both["label"].max()) + 1)]
        for split in tables
    }
    return {
        "classes": max(2, len(counts["train"])),
        "train_counts": counts["train"] if exact_counts else None,
        "test_counts": counts["test"] if exact_counts else None,
        "min_per_class": floor(SMALLEST_CLASS * min(map(min, counts.values()))),
        **_of_splits(facts),
        **_of_images(both),
        "max_outlier_share": max(OUTLIERS, 2 / min(map(len, tables.values()))),
        **_shares(tables),
        "min_agreement": _less(facts[split]["agreement"] for split in tables),
        "min_centroid_accuracy": _less(facts[split]["centroid_accuracy"] for split in tables),
    }


def _of_splits(facts: Mapping[str, Any]) -> dict[str, list[float]]:
    ranges = {}
    for name, drift in DRIFT.items():
        values = [facts[split][name] for split in ("train", "test")]
        least, most = min(values) * (1 - drift), max(values) * (1 + drift)
        whole = name.endswith("grey_levels")
        ranges[name] = [float(floor(least)), float(ceil(most))] if whole else [_down(least), _up(most)]
    return ranges


def _of_images(table: pd.DataFrame) -> dict[str, Any]:
    ink, side = (_wider(table[column]) for column in ("ink_fraction", "box_side"))
    return {
        "brightest": [max(0, floor(_wider(table["max"])[0])), min(255, ceil(_wider(table["max"])[1]))],
        "min_sharpness": max(0.0, _down(_wider(table["sharpness"])[0])),
        "ink_fraction": [max(0.0, _down(ink[0])), min(1.0, _up(ink[1]))],
        "box_side": [max(0, floor(side[0])), min(_largest(table), ceil(side[1]))],
        "max_centre_distance": max(0.01, _up(_wider(table["centre_distance"])[1])),
    }


def _largest(table: pd.DataFrame) -> int:
    return max(int(side) for name in ("height", "width") for side in table[name].unique())


def _wider(values: "pd.Series[float]") -> tuple[float, float]:
    least, most = float(values.min()), float(values.max())
    margin = WIDER * (most - least)
    return least - margin, most + margin


def _shares(tables: Tables) -> dict[str, float]:
    """Twice what was seen, and room for one image more."""
    odd = {
        "max_blank_share": [(table["std"] == 0).tolist() for table in tables.values()],
        "max_duplicate_share": [(table["nearest"] <= NEAR).tolist() for table in tables.values()],
        "max_contradicted_share": [(table["contradiction"] > CONTRADICTED).tolist() for table in tables.values()],
    }
    return {name: max(_twice(flags) for flags in splits) for name, splits in odd.items()}


def _twice(flags: Sequence[bool]) -> float:
    count = sum(flags)
    return min(1.0, _up((2 * count + (count > 0)) / len(flags)))


def _less(accuracies: Iterable[float]) -> float:
    return max(0.0, _down(min(accuracies) - LESS_ACCURATE))


def _down(value: float) -> float:
    return floor(value * PARTS) / PARTS


def _up(value: float) -> float:
    return ceil(round(value * PARTS, 6)) / PARTS
