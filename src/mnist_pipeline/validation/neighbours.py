"""How near the nearest other image is: an image that stands twice, if ever so slightly changed, has one beside it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

REACH = 128.0
"""In grey levels; two images of MNIST are never nearer than 209."""
NEAR = 64.0
"""Up to where two images count as one: 28 grey levels are a change of one in every pixel of 784."""
DIMENSIONS = 8
"""Directions in which images differ most. In these, two images are never farther apart than they are."""
CANDIDATES = 4
"""Of the images that are nearest in these directions, how many are looked at in all pixels."""
SAMPLE = 5000
"""Images that the directions are found from."""
CHUNK = 10_000


def nearest_distances(images: NDArray[np.uint8], contents: Sequence[str]) -> NDArray[np.float64]:
    """From each image `[N, height, width]` to the nearest other: Euclidean, in grey levels, and at most `REACH`.

    `contents` has something for each image that is the same for equal images alone, such as a digest.
    """
    rows = images.reshape(len(images), -1)
    place, _ = pd.factorize(np.asarray(contents, dtype=object))
    _, first, count = np.unique(place, return_index=True, return_counts=True)
    distance = np.where(count > 1, 0, _to_candidates(rows, first, _projected(rows, first)))
    found: NDArray[np.float64] = distance[place]
    return found


def _projected(rows: NDArray[np.uint8], contents: NDArray[np.int64]) -> NDArray[np.float64]:
    """Coordinates `[contents, dimensions]` of some rows along the principal components of a sample of them."""
    sample = rows[contents[np.random.default_rng(0).permutation(len(contents))[:SAMPLE]]].astype(np.float64)
    mean = sample.mean(0)
    values, vectors = np.linalg.eigh((sample - mean).T @ (sample - mean))
    directions = vectors[:, np.argsort(-values)[:DIMENSIONS]]
    parts = (rows[contents[start : start + CHUNK]] - mean for start in range(0, len(contents), CHUNK))
    return np.concatenate([part @ directions for part in parts])


def _to_candidates(
    rows: NDArray[np.uint8], contents: NDArray[np.int64], projected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of each content, by one of its rows, to the nearest of those that are near where it was projected to."""
    from scipy.spatial import cKDTree

    tree = cKDTree(projected, balanced_tree=False, compact_nodes=False)
    found = np.full(len(contents), REACH)
    for start in range(0, len(contents), CHUNK):
        within, near = tree.query(projected[start : start + CHUNK], k=CANDIDATES + 1, distance_upper_bound=REACH)
        one, candidate = np.nonzero(np.isfinite(within))
        other = near[one, candidate]
        one = one + start
        one, other = one[one != other], other[one != other]
        difference = rows[contents[one]].astype(np.float32) - rows[contents[other]]
        np.minimum.at(found, one, np.sqrt(np.einsum("ij,ij->i", difference, difference)))
    return found
