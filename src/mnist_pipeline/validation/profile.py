"""What can be said of images: a table with one row for each, and facts of the whole set. Nothing is judged here."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.data.geometry import centres_of_mass, extents
from mnist_pipeline.validation.agreement import contradictions
from mnist_pipeline.validation.neighbours import nearest_distances

INK = 128
"""A pixel at least this bright counts as ink in `ink_fraction`."""
CHUNK = 10_000
FEW = 0.01
"""The share of the images that has at most `few_grey_levels`."""
PERCENTILES = (0.001, 0.01, 0.5, 0.99, 0.999)
Tables = Mapping[SplitName, pd.DataFrame]
"""What `image_tables` says of each split."""


def image_tables(splits: Mapping[SplitName, Split]) -> dict[SplitName, pd.DataFrame]:
    """What `image_table` says of each split, and what only the other images can tell.

    These columns are `contradiction`, how much another label fits better (see `agreement`), and `nearest`, the distance
    to the nearest image of both splits (see `neighbours`). One thread computes, so that sums are the same everywhere.
    """
    with threadpool_limits(limits=1):
        return _tables(splits)


def _tables(splits: Mapping[SplitName, Split]) -> dict[SplitName, pd.DataFrame]:
    tables = {name: image_table(name, split) for name, split in splits.items()}
    against, nearest = contradictions(splits), _nearest(splits, tables)
    return {name: table.assign(contradiction=against[name], nearest=nearest[name]) for name, table in tables.items()}


def _nearest(
    splits: Mapping[SplitName, Split], tables: Mapping[SplitName, pd.DataFrame]
) -> dict[SplitName, NDArray[np.float64]]:
    train, test = splits["train"].images, splits["test"].images
    contents = {name: table["content"].tolist() for name, table in tables.items()}
    if train.shape[1:] != test.shape[1:]:
        return {name: nearest_distances(split.images, contents[name]) for name, split in splits.items()}
    found = nearest_distances(np.concatenate([train, test]), contents["train"] + contents["test"])
    return {"train": found[: len(train)], "test": found[len(train) :]}


def image_table(name: SplitName, split: Split) -> pd.DataFrame:
    """One row for each image of a split, in its order.

    Columns: `split` (its name), `image` (its place), `label`, `height`, `width`; `mean`, `std`, `min` and `max` of its
    pixels, 0 to 255; `grey_levels`, how many different ones they have; `sharpness`, the most that two neighbours
    differ; `roughness`, the sum of all that neighbours differ over the sum of the pixels; `ink_fraction`; `box_height`
    and `box_width` of the pixels above 0, the longer of them as `box_side`, `box_top` and `box_left` of their corner,
    all 0 where there are none; `centre_row` and `centre_column` of mass as pixel indices, and `centre_distance` from
    the pixel (height / 2, width / 2), where MNIST puts it; `content`, a hash of its pixels.
    """
    count, height, width = split.images.shape
    chunks = [_measure(split.images[start : start + CHUNK]) for start in range(0, count, CHUNK)]
    measured = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    labels = split.labels.astype(int)
    places = {"split": name, "image": np.arange(count), "label": labels, "height": height, "width": width}
    return pd.DataFrame(places | measured)


def statistics(tables: Mapping[SplitName, pd.DataFrame]) -> pd.DataFrame:
    """How each measured column of each split is spread: least, most, mean, median and the outer percentiles."""
    both = pd.concat(tables.values())
    measured = both.drop(columns=["image", "label", "height", "width", "content"]).groupby("split", sort=False)
    described = measured.describe(percentiles=PERCENTILES).stack(level=0, future_stack=True)
    return described.drop(columns="count").rename_axis(["split", "column"]).reset_index()


def _measure(images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    pixels = images.astype(np.float32)
    return {
        "mean": pixels.mean((1, 2)).astype(float),
        "std": pixels.std((1, 2)).astype(float),
        "min": images.min((1, 2)).astype(int),
        "max": images.max((1, 2)).astype(int),
        "grey_levels": _grey_levels(images),
        **_steps(images),
        "ink_fraction": (images >= INK).mean((1, 2)),
        **_bounding_box(images),
        **_centre(images),
        "content": np.array([hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images]),
    }


def _grey_levels(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    ordered = np.sort(images.reshape(len(images), -1), axis=1)
    levels: NDArray[np.int64] = (ordered[:, 1:] != ordered[:, :-1]).sum(1) + 1
    return levels


def _steps(images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """What the pixels say of the differences of neighbours, which blur makes smaller and noise more."""
    rows, columns = (np.abs(np.diff(images.astype(np.int16), axis=axis)) for axis in (1, 2))
    largest = np.maximum(rows.max((1, 2), initial=0), columns.max((1, 2), initial=0))
    total = rows.sum((1, 2)) + columns.sum((1, 2))
    return {"sharpness": largest.astype(int), "roughness": total / np.maximum(images.sum((1, 2), dtype=int), 1)}


def _bounding_box(images: NDArray[np.uint8]) -> dict[str, NDArray[np.int64]]:
    top, height = extents(images.max(2) > 0)
    left, width = extents(images.max(1) > 0)
    box = {"box_height": height, "box_top": top, "box_width": width, "box_left": left}
    return box | {"box_side": np.maximum(height, width)}


def _centre(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    _, height, width = images.shape
    row, column = centres_of_mass(images)
    distance = np.hypot(row - height / 2, column - width / 2)
    return {"centre_row": row, "centre_column": column, "centre_distance": distance}


def box_aspects(table: pd.DataFrame) -> pd.Series:
    """Width over height of the bounding box of each image."""
    return table["box_width"] / table["box_height"].clip(lower=1)


def whole_set_facts(splits: Mapping[SplitName, Split], tables: Tables) -> dict[str, Any]:
    """Numbers that no single image shows, nested by what they are of.

    `pixel_mean` and `pixel_std` are of pixels divided by 255. `box_aspect` is the mean of width over height of the
    bounding boxes, which turned or transposed images change. `blank` counts images of one grey level. `duplicates`
    counts the images beyond the first of each content within a split, `duplicates_across` the test images that stand
    in the training split. `grey_levels` is the mean number of different ones in an image, and
    `few_grey_levels` the number that one image in a hundred stays within.
    `centroid_accuracy` is the share of images whose nearest mean training image (Euclidean) is that of their own label,
    `agreement` the share for which no other label fits better.
    """
    train, test = tables["train"], tables["test"]
    centroids, classes = class_centroids(splits["train"])
    facts: dict[str, Any] = {
        name: {
            "images": len(table),
            "classes": int(table["label"].nunique()),
            "pixel_mean": round(float(table["mean"].mean()) / 255, 6),
            "pixel_std": round(_pixel_deviation(table) / 255, 6),
            "box_aspect": round(float(box_aspects(table).mean()), 6),
            "duplicates": int(table["content"].duplicated().sum()),
            "blank": int((table["min"] == table["max"]).sum()),
            "grey_levels": round(float(table["grey_levels"].mean()), 6),
            "few_grey_levels": float(table["grey_levels"].quantile(FEW)),
            "agreement": round(float((table["contradiction"] <= 0).mean()), 6),
            "centroid_accuracy": round(centroid_accuracy(splits[name], centroids, classes), 6),
            "count": {str(label): int(count) for label, count in table["label"].value_counts().sort_index().items()},
        }
        for name, table in tables.items()
    }
    facts["duplicates_across"] = int(test["content"].isin(set(train["content"])).sum())
    return facts


def _pixel_deviation(table: pd.DataFrame) -> float:
    """Of all pixels of a split, from the mean and deviation of each image: the variances within and between add up."""
    variance = (table["std"] ** 2).mean() + ((table["mean"] - table["mean"].mean()) ** 2).mean()
    return float(np.sqrt(variance))


def class_centroids(split: Split) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """The mean image of each class, flat `[classes, pixels]`, and the labels they are of."""
    classes = np.unique(split.labels)
    centroids = [split.images[split.labels == label].mean(0, dtype=np.float64).ravel() for label in classes]
    return np.stack(centroids), classes


def centroid_accuracy(split: Split, centroids: NDArray[np.float64], classes: NDArray[np.uint8]) -> float:
    """Share of images whose nearest centroid is that of their label."""
    if split.images[0].size != centroids.shape[1]:
        return 0.0
    correct = 0
    half_norms = (centroids**2).sum(1) / 2
    for start in range(0, len(split), CHUNK):
        images = split.images[start : start + CHUNK].reshape(-1, centroids.shape[1]).astype(np.float64)
        nearest = (images @ centroids.T - half_norms).argmax(1)
        correct += int((classes[nearest] == split.labels[start : start + CHUNK]).sum())
    return correct / len(split)
