"""How near the nearest other image is: an image that stands twice, if ever so slightly changed, has one beside it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

REACH = 128.0  # in grey levels; two images of MNIST are never nearer than 209
NEAR = 64.0  # up to where two images count as one: 28 grey levels are a change of one in every pixel of 784
DIMENSIONS = 8  # directions in which images differ most; in these, two images are never farther apart than they are
CANDIDATES = 4  # of the images that are nearest in these directions, how many are compared in all pixels
SAMPLE = 5000  # images that the directions are found from
CHUNK = 10_000


def nearest_distances(images: NDArray[np.uint8], contents: NDArray[Any]) -> NDArray[np.float64]:
    """From each image `[N, height, width]` to the nearest other: Euclidean, in grey levels, and at most `REACH`.

    `contents` has something for each image that is the same for equal images alone, such as a digest.
    """
    from scipy.spatial import KDTree
    from sklearn.decomposition import PCA

    pixels = images.reshape(len(images), -1)
    _, first, content, count = np.unique(contents, return_index=True, return_inverse=True, return_counts=True)
    distance = np.where(count > 1, 0, REACH)
    if len(first) > 1:
        sample = pixels[first[np.random.default_rng(0).permutation(len(first))[:SAMPLE]]].astype(np.float64)
        pca = PCA(min(DIMENSIONS, *sample.shape), random_state=0).fit(sample)
        parts = [first[start : start + CHUNK] for start in range(0, len(first), CHUNK)]
        projected = np.concatenate([pca.transform(pixels[part]) for part in parts])
        # On MNIST 0.4 s for all images; NearestNeighbors of scikit-learn has no upper bound and takes 4.5 s
        tree = KDTree(projected, balanced_tree=False, compact_nodes=False)
        for start in range(0, len(first), CHUNK):
            within, near = tree.query(projected[start : start + CHUNK], CANDIDATES + 1, distance_upper_bound=REACH)
            one, candidate = np.nonzero(np.isfinite(within))
            other, one = near[one, candidate], one + start
            one, other = one[one != other], other[one != other]
            difference = pixels[first[one]].astype(np.float32) - pixels[first[other]]
            np.minimum.at(distance, one, np.linalg.norm(difference, axis=1))
    return np.asarray(distance[content])
