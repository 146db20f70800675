"""One number that makes a classifier's confidence honest.

Temperature scaling, by Guo et al. (2017), "On calibration of modern neural networks", ICML.
"""

import numpy as np
from torch import Tensor
from torch.nn.functional import cross_entropy

LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The number by which logits `[N, classes]` are divided so that their cross-entropy with labels `[N]` is least.

    Above 1 the classifier was too sure of itself, below 1 not sure enough. The order of the classes stays. It is to be
    fitted on images that neither trained the classifier nor test it.
    """
    from scipy.optimize import minimize_scalar

    exact = logits.double()

    def loss(logarithm: float) -> float:
        return float(cross_entropy(exact / np.exp(logarithm), labels))

    bounds = np.log([LOWEST, HIGHEST])
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x))
