"""What an analysis gets and what it returns.

`stages/evaluate.py` runs every module of this package that has a function `analyse(test: EvaluationInput) -> Result`.
Each is independent of the others: it draws from a seeded generator of its own, and names its results as no other does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist_pipeline.comparison.intervals import wilson_interval
from mnist_pipeline.data.dataset import batch_size


@dataclass(frozen=True)
class EvaluationInput:
    """A classifier, the test set and what it predicts there.

    The validation set is for what must be fitted, as the test set chooses nothing. `settings` is the section `evaluate`
    of params.yaml. Analyses that predict for long call `on_progress` with the number of images done, and have a
    constant `PASSES`: how often they predict all images.
    """

    classifier: nn.Module  # raw images in, logits out
    images: NDArray[np.uint8]  # [N, height, width, channels]
    labels: NDArray[np.int64]  # [N]
    label_names: Sequence[str]
    logits: Tensor  # float32 [N, classes]
    validation_logits: Tensor
    validation_labels: NDArray[np.int64]
    settings: Any
    device: torch.device
    dataset: str
    of_strokes: bool  # whether the images are of strokes as in MNIST
    on_progress: Callable[[int], None]

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """For each image its number, its `label` and the `predicted` one by name, and the `confidence`."""
        confidence, predicted = self.logits.double().softmax(1).max(1)
        names = np.array(self.label_names, dtype=object)
        columns = {"label": names[self.labels], "predicted": names[predicted.numpy()], "confidence": confidence.numpy()}
        return pd.DataFrame({"image": range(len(self.labels)), **columns})

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each prediction is right, `[N]`."""
        return (self.predictions["label"] == self.predictions["predicted"]).to_numpy()

    def predict(self, images: NDArray[np.uint8]) -> Tensor:
        """Logits `float32 [M, classes]` of other images `[M, height, width, channels]`."""
        return predict_logits(self.classifier, images, self.device)

    def share(self, successes: float, trials: int, digits: int = 2) -> str:
        """A share with its Wilson interval in brackets, in percent."""
        low, high = wilson_interval(round(successes), trials, self.settings.confidence)
        return f"{successes / trials:.{digits}%} ({100 * low:.{digits}f}–{100 * high:.{digits}f})"


@dataclass(frozen=True)
class Result:
    """What an analysis found.

    `scalars` are few and made for comparing models: they go to metrics.json and MLflow. `tables` and `figures` (PNG)
    have the names of their files, without the suffix. `card` is a section of the model card, in Markdown with a heading
    of its own; it may show a picture as `![title](figures/name.png)`.
    """

    scalars: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, bytes] = field(default_factory=dict)
    card: str = ""


@torch.inference_mode()
def predict_logits(classifier: nn.Module, images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Logits `float32 [N, classes]`, on the CPU, of raw images `[N, height, width, channels]`.

    `classifier` moves to `device`. A logit that is not finite raises a `FloatingPointError`.
    """
    classifier = classifier.to(device)
    batches = torch.from_numpy(images).split(batch_size(images.shape))
    logits = torch.cat([classifier(batch.to(device)).cpu() for batch in batches])
    if not logits.isfinite().all():
        raise FloatingPointError("the network's logits are not all finite numbers")
    return logits


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    escaped = ([" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, ["---"] * len(columns), *escaped])
