"""How near the nearest other image is: an image that stands twice, if ever so slightly changed, has one beside it."""

from collections.abc import Sequence
from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.validation.pixels import block, chunks, gather, reduced

# Distances are 28 times the root mean square of the differences of all values, in grey levels, whatever the size of the
# images: the Euclidean distance, for those of MNIST, which are never nearer than 209
VALUES = 28**2
REACH = 128.0
NEAR = 64.0  # up to where two images count as one: 28 are a change of one grey level in every value
DIMENSIONS = 8  # directions in which images differ most; in these, two images are never farther apart than they are
CANDIDATES = 4  # of the images that are nearest in these directions, how many are compared in all pixels
SAMPLE = 5000  # images that the directions are found from
SIDE = 32  # pixels that they are found in, at most
CHUNK = 10_000


def nearest_distances(parts: Sequence[NDArray[np.uint8]], contents: NDArray[Any]) -> NDArray[np.float64]:
    """From each image `[N, height, width, channels]` of all parts to the nearest other, and at most `REACH`.

    `contents` has something for each image that is the same for equal images alone, such as a digest.
    """
    from scipy.spatial import KDTree
    from sklearn.decomposition import PCA

    size = parts[0][0].size
    scale = np.sqrt(size / VALUES)  # of a distance here, how long the Euclidean one is
    _, first, content, count = np.unique(contents, return_index=True, return_inverse=True, return_counts=True)
    distance = np.where(count > 1, 0, REACH)

    def seen(places: NDArray[np.int64]) -> NDArray[Any]:
        small = [reduced(gather(parts, places[part]), SIDE) for part in chunks(len(places), size)]
        return np.concatenate(small).reshape(len(places), -1)

    if len(first) > 1:
        sample = seen(first[np.random.default_rng(0).permutation(len(first))[:SAMPLE]]).astype(np.float64)
        pca = PCA(min(DIMENSIONS, *sample.shape), random_state=0).fit(sample)
        projected = np.empty((len(first), pca.n_components))
        in_order = np.argsort(first)  # of the files
        for part in chunks(len(first), 1, CHUNK):
            projected[in_order[part]] = pca.transform(seen(first[in_order[part]]))
        # A block of n pixels adds to the square of a distance at least n times the square of what its means differ by
        reach = REACH * scale / sqrt(prod(block(parts[0].shape, SIDE)))
        # On MNIST 0.4 s for all images; NearestNeighbors of scikit-learn has no upper bound and takes 4.5 s
        tree = KDTree(projected, balanced_tree=False, compact_nodes=False)
        for start in range(0, len(first), CHUNK):
            within, near = tree.query(projected[start : start + CHUNK], CANDIDATES + 1, distance_upper_bound=reach)
            one, candidate = np.nonzero(np.isfinite(within))
            other, one = near[one, candidate], one + start
            one, other = one[one != other], other[one != other]
            for pairs in chunks(len(one), size):
                of_one, of_other = (gather(parts, first[which[pairs]]).reshape(-1, size) for which in (one, other))
                lengths = np.linalg.norm(of_one.astype(np.float32) - of_other, axis=1)
                np.minimum.at(distance, one[pairs], lengths / scale)
    return np.asarray(distance[content])
