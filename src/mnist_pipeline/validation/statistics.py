"""Statistics of images: a table with one row for each, and facts of the whole set. Nothing is expected of them here."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_table
from mnist_pipeline.validation.duplicates import nearest_distances
from mnist_pipeline.validation.labels import contradictions
from mnist_pipeline.validation.pixels import chunks, reduced

INK = 128  # a pixel at least this bright counts as ink in `ink_fraction`
PICTURES = "pictures.csv"
"""What became of each picture of a folder: its split and its place there, or the problem with it."""
COLOURS = ("red", "green", "blue", "opacity")
SIDE = 32  # pixels in which mean images are compared, at most
FEW_QUANTILE = 0.01  # the share of the images that has at most `few_grey_levels`
PERCENTILES = (0.001, 0.01, 0.5, 0.99, 0.999)
Tables = Mapping[SplitName, pd.DataFrame]


def image_tables(splits: Mapping[SplitName, Split]) -> dict[SplitName, pd.DataFrame]:
    """The `image_table` of each split, with two more columns, which depend on the other images.

    These are `contradiction`, how much better another label fits (see `labels`), and `nearest`, the distance to the
    nearest image of both splits (see `duplicates`). One thread computes, so that sums are the same everywhere.
    Splits with images of different shapes are a `PipelineError`.
    """
    if len(shapes := {"×".join(map(str, split.images.shape[1:])): name for name, split in splits.items()}) > 1:
        found = " and ".join(f"{shape} in {name}" for shape, name in shapes.items())
        raise PipelineError(f"{paths.RAW}: images of {found}; expected one shape: run dvc repro, or prepare them alike")
    with threadpool_limits(limits=1):
        tables = {name: image_table(name, split) for name, split in splits.items()}
        against = contradictions(splits)
        contents = np.concatenate([table["content"] for table in tables.values()])
        distances = nearest_distances([split.images for split in splits.values()], contents)
        nearest = dict(zip(splits, np.split(distances, [len(splits["train"])]), strict=True))
        return {
            name: table.assign(contradiction=against[name], nearest=nearest[name]) for name, table in tables.items()
        }


def image_table(name: SplitName, split: Split) -> pd.DataFrame:
    """One row for each image of a split, in its order.

    Columns: `split` (its name), `image` (its place), `label`, `height`, `width`, `channels`; `mean`, `std`, `min` and
    `max` of its values, 0 to 255, where the deviation is from the mean of each channel; `grey_levels`, how many
    different values there are; `sharpness`, the most that two neighbours differ; `roughness`, the sum of all that
    neighbours differ over the sum of the values; `ink_fraction`; `box_height` and `box_width` of the pixels above 0,
    the longer of them as `box_side`, `box_top` and `box_left` of their corner, all 0 where there are none; `centre_row`
    and `centre_column` of mass as pixel indices, and `centre_distance` from the pixel (height / 2, width / 2), where
    MNIST puts it; `content`, a hash of its values. Opacity is a channel as others are. Images in colour have the mean
    of each channel too, `red`, `green`, `blue` and `opacity`.
    """
    count, height, width, channels = split.images.shape
    parts = [pd.DataFrame(_measure(split.images[part])) for part in chunks(count, split.images[0].size)]
    places = {"split": name, "image": np.arange(count), "label": split.labels, "height": height, "width": width}
    return pd.DataFrame(places | {"channels": channels}).join(pd.concat(parts, ignore_index=True))


def _measure(images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    _, height, width, channels = images.shape
    planes = [images[..., channel].astype(np.float32) for channel in range(channels)]
    means, deviations = (
        np.stack([of(plane, (1, 2)) for plane in planes], axis=1).astype(float) for of in (np.mean, np.std)
    )
    least, most = images.min((1, 2)), images.max((1, 2))  # of each channel
    deviations[least == most] = 0  # of many equal values, the mean is rounded
    # Blur makes the differences of neighbours smaller, and noise larger
    down, across = (np.abs(np.diff(images.astype(np.int16), axis=axis)) for axis in (1, 2))
    differences = down.sum((1, 2, 3)) + across.sum((1, 2, 3))
    # scipy.ndimage takes 2.7 s for the boxes and centres of 60,000 images; this takes 0.2 s
    top, box_height = _extents(images.max((2, 3)) > 0)
    left, box_width = _extents(images.max((1, 3)) > 0)
    by_row, by_column = images.sum((2, 3), dtype=float), images.sum((1, 3), dtype=float)
    mass = np.maximum(by_row.sum(1), 1e-9)  # an image without ink has its centre at (0, 0)
    row, column = by_row @ np.arange(height) / mass, by_column @ np.arange(width) / mass
    measured = {
        "mean": means.mean(1),
        "std": np.sqrt(np.square(deviations).mean(1)),
        "min": least.min(1).astype(int),
        "max": most.max(1).astype(int),
        "grey_levels": np.array([np.count_nonzero(np.bincount(image.ravel())) for image in images]),
        "sharpness": np.maximum(down.max((1, 2, 3), initial=0), across.max((1, 2, 3), initial=0)).astype(int),
        "roughness": differences / np.maximum(images.sum((1, 2, 3), dtype=int), 1),
        "ink_fraction": (images >= INK).mean((1, 2, 3)),
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
    return measured | (dict(zip(COLOURS, means.T, strict=False)) if channels > 1 else {})


def _extents(inked: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each row `[N, side]` the first place that is inked, and how many places from there to the last; or 0 and 0."""
    first, some = inked.argmax(1), inked.any(1)
    beyond = inked.shape[1] - inked[:, ::-1].argmax(1)
    return np.where(some, first, 0), np.where(some, beyond - first, 0)


def statistics(tables: Tables) -> pd.DataFrame:
    """How each measured column of each split is spread: least, most, mean, median and the outer percentiles."""
    both = pd.concat(tables.values())
    given = ["image", "label", "height", "width", "channels", "content", "file"]
    measured = both.drop(columns=given, errors="ignore").groupby("split", sort=False)
    described = measured.describe(percentiles=PERCENTILES).stack(level=0, future_stack=True)
    return described.drop(columns="count").rename_axis(["split", "column"]).reset_index()


def box_aspects(table: pd.DataFrame) -> pd.Series:
    """Width over height of the bounding box of each image."""
    return table["box_width"] / table["box_height"].clip(lower=1)


def whole_set_facts(splits: Mapping[SplitName, Split], tables: Tables) -> dict[str, Any]:
    """Numbers that no single image shows, nested by split.

    `pixel_mean` and `pixel_std` are of values divided by 255; `colour_balance`, of images in colour, is the mean of
    each channel less that of all, divided by 255. `box_aspect` is the mean of width over height of the bounding boxes,
    which turned or transposed images change. `blank` counts images of one colour. `duplicates` counts the images beyond
    the first of each content within a split, `duplicates_across` the test images that stand in the training split.
    `grey_levels` is the mean number of different ones in an image, and `few_grey_levels` the number that one image in a
    hundred stays within. `centroid_accuracy` is the share of images whose nearest mean training image (Euclidean) is
    that of their own label, `agreement` the share for which no other label fits better.
    """
    facts: dict[str, Any] = {}
    for name, table in tables.items():
        # the variances within the channels of images and between them add up
        of_channels, mean = table.get([*COLOURS[: splits[name].images.shape[3]]], table[["mean"]]), table["mean"].mean()
        variance = (table["std"] ** 2).mean() + ((of_channels - mean) ** 2).mean().mean()
        facts[name] = {
            "images": len(table),
            "classes": int(table["label"].nunique()),
            "pixel_mean": round(float(mean) / 255, 6),
            "pixel_std": round(float(np.sqrt(variance)) / 255, 6),
            "box_aspect": round(float(box_aspects(table).mean()), 6),
            "duplicates": int(table["content"].duplicated().sum()),
            "blank": int((table["std"] == 0).sum()),
            "grey_levels": round(float(table["grey_levels"].mean()), 6),
            "few_grey_levels": float(table["grey_levels"].quantile(FEW_QUANTILE)),
            "agreement": round(float((table["contradiction"] <= 0).mean()), 6),
            "centroid_accuracy": round(_centroid_accuracy(splits["train"], splits[name]), 6),
            "count": {str(label): int(count) for label, count in table["label"].value_counts().sort_index().items()},
        }
        if "red" in table:
            facts[name]["colour_balance"] = [round(float(each - mean) / 255, 6) for each in of_channels.mean()]
    facts["duplicates_across"] = int(tables["test"]["content"].isin(set(tables["train"]["content"])).sum())
    return facts


def add_pictures(folder: Path, tables: Tables, facts: dict[str, Any]) -> None:
    """Add what download noted in a folder about the pictures that the images were made of, where it did.

    Tables get the `file` of each image; facts get `unreadable_share` of the pictures, and the first `unreadable` files.
    """
    if not (folder / PICTURES).exists():
        return
    pictures = read_table(folder / PICTURES, dict.fromkeys(("split", "image", "file", "problem"), str))
    read = pictures["image"] != ""
    for name, table in tables.items():
        of_split = pictures[read & (pictures["split"] == name)]
        table["file"] = of_split.set_index(of_split["image"].astype(int))["file"]
    facts["unreadable_share"] = float(1 - read.mean())
    facts["unreadable"] = [f"{file} ({problem})" for file, problem in pictures[~read][["file", "problem"]].values[:8]]


def _centroid_accuracy(train: Split, split: Split) -> float:
    # On MNIST 0.2 s; NearestCentroid of scikit-learn takes 1.6 s and 750 MiB, and raises where all images are equal
    classes, own, counts = np.unique(train.labels, return_inverse=True, return_counts=True)
    centroids = np.zeros((len(classes), reduced(train.images[:1], SIDE).size))
    for part in chunks(len(train), train.images[0].size):
        images = reduced(train.images[part], SIDE)
        for label in np.unique(own[part]):
            centroids[label] += images[own[part] == label].sum(0, dtype=float).ravel()
    centroids /= counts[:, None]
    half_norms = (centroids**2).sum(1) / 2
    correct = 0
    for part in chunks(len(split), split.images[0].size):
        images = reduced(split.images[part], SIDE).reshape(-1, centroids.shape[1]).astype(float)
        nearest = (images @ centroids.T - half_norms).argmax(1)
        correct += int((classes[nearest] == split.labels[part]).sum())
    return correct / len(split)
