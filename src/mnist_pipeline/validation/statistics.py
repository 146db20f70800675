"""Statistics of images: a table with one row for each, and facts of the whole set. Nothing is expected of them here."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.validation.duplicates import nearest_distances
from mnist_pipeline.validation.labels import contradictions

INK = 128  # a pixel at least this bright counts as ink in `ink_fraction`
CHUNK = 10_000
FEW_QUANTILE = 0.01  # the share of the images that has at most `few_grey_levels`
PERCENTILES = (0.001, 0.01, 0.5, 0.99, 0.999)
Tables = Mapping[SplitName, pd.DataFrame]


def image_tables(splits: Mapping[SplitName, Split]) -> dict[SplitName, pd.DataFrame]:
    """The `image_table` of each split, with two more columns, which depend on the other images.

    These are `contradiction`, how much better another label fits (see `labels`), and `nearest`, the distance to the
    nearest image of both splits (see `duplicates`). One thread computes, so that sums are the same everywhere.
    """
    with threadpool_limits(limits=1):
        tables = {name: image_table(name, split) for name, split in splits.items()}
        against = contradictions(splits)
        alike = len({split.images.shape[1:] for split in splits.values()}) == 1
        for group in [list(splits)] if alike else [[name] for name in splits]:
            images = np.concatenate([splits[name].images for name in group])
            contents = np.concatenate([tables[name]["content"] for name in group])
            nearest = np.split(nearest_distances(images, contents), [len(splits[group[0]])])
            for name, distances in zip(group, nearest, strict=False):
                tables[name] = tables[name].assign(contradiction=against[name], nearest=distances)
    return tables


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
    chunks = [pd.DataFrame(_measure(split.images[start : start + CHUNK])) for start in range(0, count, CHUNK)]
    labels = split.labels.astype(int)
    places = {"split": name, "image": np.arange(count), "label": labels, "height": height, "width": width}
    return pd.DataFrame(places).join(pd.concat(chunks, ignore_index=True))


def _measure(images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    count, height, width = images.shape
    pixels = images.astype(np.float32)
    ordered = np.sort(images.reshape(count, -1), axis=1)
    # Blur makes the differences of neighbours smaller, and noise larger
    down, across = (np.abs(np.diff(images.astype(np.int16), axis=axis)) for axis in (1, 2))
    differences = down.sum((1, 2)) + across.sum((1, 2))
    # scipy.ndimage takes 2.7 s for the boxes and centres of 60,000 images; this takes 0.2 s
    top, box_height = _extents(images.max(2) > 0)
    left, box_width = _extents(images.max(1) > 0)
    by_row, by_column = images.sum(2, dtype=float), images.sum(1, dtype=float)
    mass = np.maximum(by_row.sum(1), 1e-9)  # an image without ink has its centre at (0, 0)
    row, column = by_row @ np.arange(height) / mass, by_column @ np.arange(width) / mass
    return {
        "mean": pixels.mean((1, 2)).astype(float),
        "std": pixels.std((1, 2)).astype(float),
        "min": images.min((1, 2)).astype(int),
        "max": images.max((1, 2)).astype(int),
        "grey_levels": (ordered[:, 1:] != ordered[:, :-1]).sum(1) + 1,
        "sharpness": np.maximum(down.max((1, 2), initial=0), across.max((1, 2), initial=0)).astype(int),
        "roughness": differences / np.maximum(images.sum((1, 2), dtype=int), 1),
        "ink_fraction": (images >= INK).mean((1, 2)),
        "box_height": box_height,
        "box_top": top,
        "box_width": box_width,
        "box_left": left,
        "box_side": np.maximum(box_height, box_width),
        "centre_row": row,
        "centre_column": column,
        "centre_distance": np.hypot(row - height / 2, column - width / 2),
        "content": np.array([hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images]),
    }


def _extents(inked: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each row `[N, side]` the first place that is inked, and how many places from there to the last; or 0 and 0."""
    first, some = inked.argmax(1), inked.any(1)
    beyond = inked.shape[1] - inked[:, ::-1].argmax(1)
    return np.where(some, first, 0), np.where(some, beyond - first, 0)


def statistics(tables: Tables) -> pd.DataFrame:
    """How each measured column of each split is spread: least, most, mean, median and the outer percentiles."""
    both = pd.concat(tables.values())
    measured = both.drop(columns=["image", "label", "height", "width", "content"]).groupby("split", sort=False)
    described = measured.describe(percentiles=PERCENTILES).stack(level=0, future_stack=True)
    return described.drop(columns="count").rename_axis(["split", "column"]).reset_index()


def box_aspects(table: pd.DataFrame) -> pd.Series:
    """Width over height of the bounding box of each image."""
    return table["box_width"] / table["box_height"].clip(lower=1)


def whole_set_facts(splits: Mapping[SplitName, Split], tables: Tables) -> dict[str, Any]:
    """Numbers that no single image shows, nested by split.

    `pixel_mean` and `pixel_std` are of pixels divided by 255. `box_aspect` is the mean of width over height of the
    bounding boxes, which turned or transposed images change. `blank` counts images of one grey level. `duplicates`
    counts the images beyond the first of each content within a split, `duplicates_across` the test images that stand
    in the training split. `grey_levels` is the mean number of different ones in an image, and `few_grey_levels` the
    number that one image in a hundred stays within. `centroid_accuracy` is the share of images whose nearest mean
    training image (Euclidean) is that of their own label, `agreement` the share for which no other label fits better.
    """
    facts: dict[str, Any] = {}
    for name, table in tables.items():
        # the variances within images and between them add up
        variance = (table["std"] ** 2).mean() + ((table["mean"] - table["mean"].mean()) ** 2).mean()
        facts[name] = {
            "images": len(table),
            "classes": int(table["label"].nunique()),
            "pixel_mean": round(float(table["mean"].mean()) / 255, 6),
            "pixel_std": round(float(np.sqrt(variance)) / 255, 6),
            "box_aspect": round(float(box_aspects(table).mean()), 6),
            "duplicates": int(table["content"].duplicated().sum()),
            "blank": int((table["min"] == table["max"]).sum()),
            "grey_levels": round(float(table["grey_levels"].mean()), 6),
            "few_grey_levels": float(table["grey_levels"].quantile(FEW_QUANTILE)),
            "agreement": round(float((table["contradiction"] <= 0).mean()), 6),
            "centroid_accuracy": round(_centroid_accuracy(splits["train"], splits[name]), 6),
            "count": {str(label): int(count) for label, count in table["label"].value_counts().sort_index().items()},
        }
    facts["duplicates_across"] = int(tables["test"]["content"].isin(set(tables["train"]["content"])).sum())
    return facts


def _centroid_accuracy(train: Split, split: Split) -> float:
    # On MNIST 0.2 s; NearestCentroid of scikit-learn takes 1.6 s and 750 MiB, and raises where all images are equal
    if split.images.shape[1:] != train.images.shape[1:]:
        return 0.0
    classes = np.unique(train.labels)
    centroids = np.stack([train.images[train.labels == label].mean(0, dtype=float).ravel() for label in classes])
    half_norms = (centroids**2).sum(1) / 2
    correct = 0
    for start in range(0, len(split), CHUNK):
        images = split.images[start : start + CHUNK].reshape(-1, centroids.shape[1]).astype(float)
        nearest = (images @ centroids.T - half_norms).argmax(1)
        correct += int((classes[nearest] == split.labels[start : start + CHUNK]).sum())
    return correct / len(split)
