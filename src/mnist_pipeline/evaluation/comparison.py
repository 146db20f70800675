"""Two classifiers on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Comparison:
    """How a candidate does against a champion.

    `lost` images the champion alone had right, `won` images the candidate alone; `p_value` is that of the exact
    McNemar test, two-sided. `worst_class` is the label whose recall falls most, and `class_drop` by how much.
    """

    images: int
    candidate_accuracy: float
    champion_accuracy: float
    won: int
    lost: int
    p_value: float
    worst_class: str
    class_drop: float


def compare(
    labels: NDArray[np.uint8],
    candidate: NDArray[np.int64],
    champion: NDArray[np.int64],
    label_names: Sequence[str],
) -> Comparison:
    """Compares predictions `[N]` of both with the labels `[N]`.

    McNemar's test asks only the images on which one is right and the other wrong: if the two were equally good, each
    of these would fall to either side with probability 1/2: McNemar (1947), "Note on the sampling error of the
    difference between correlated proportions or percentages", Psychometrika 12(2), 153-157; exact by the binomial.
    """
    from scipy.stats import binomtest

    right, right_before = candidate == labels, champion == labels
    won, lost = int((right & ~right_before).sum()), int((~right & right_before).sum())
    drops = {label: right_before[labels == label].mean() - right[labels == label].mean() for label in np.unique(labels)}
    worst = max(drops, key=lambda label: float(drops[label]))
    return Comparison(
        images=len(labels),
        candidate_accuracy=float(right.mean()),
        champion_accuracy=float(right_before.mean()),
        won=won,
        lost=lost,
        p_value=float(binomtest(lost, won + lost).pvalue) if won + lost else 1.0,
        worst_class=label_names[worst],
        class_drop=float(drops[worst]),
    )
