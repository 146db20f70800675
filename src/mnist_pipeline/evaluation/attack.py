"""How much accuracy a classifier keeps where each pixel is changed a little, in the direction that harms it most.

The fast gradient sign method, by Goodfellow, Shlens and Szegedy (2015), "Explaining and harnessing adversarial
examples", ICLR. It is one step along one gradient: an attack in many steps harms more, so that what is left here is an
upper bound of what is left there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import one_hot

from mnist_pipeline.evaluation.metrics import DECIMALS
from mnist_pipeline.evaluation.predictions import BATCH_SIZE, predict_logits

STRENGTHS = (0, 4, 8, 16, 32, 64)
"""Grey levels of 255 by which each pixel changes at most; 0 leaves the images as they are."""
ROUNDS = len(STRENGTHS)
"""How often all images are asked, the gradient aside."""
SHOWN = 3
"""Images of which the picture shows what becomes of them."""


@dataclass(frozen=True)
class Attack:
    """What an attack does to a classifier.

    `table` has the accuracy at each strength. `examples` has a row for each strength and each of the first images:
    the strength, the image's number, the predicted label by name, and whether it is right; `images` has the pixels,
    `[rows of examples, height, width]`.
    """

    table: pd.DataFrame
    examples: pd.DataFrame
    images: NDArray[np.uint8]


def attack(
    classifier: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    label_names: Sequence[str],
    device: torch.device,
    advance: Callable[[int], None],
) -> Attack:
    """Attacks images `[N, height, width]` with labels `[N]` at each strength; `advance` hears how many were asked."""
    directions = attack_directions(classifier, images, labels, device)
    rows, examples, pictures = [], [], []
    for strength in STRENGTHS:
        changed = attacked(images, directions, strength)
        predicted = predict_logits(classifier, changed, device).argmax(1).numpy()
        right = predicted == labels
        rows.append((strength, float(right.mean())))
        for image in range(min(SHOWN, len(images))):
            examples.append((strength, image, label_names[predicted[image]], bool(right[image])))
        pictures.append(changed[:SHOWN])
        advance(len(images))
    return Attack(
        pd.DataFrame(rows, columns=["strength", "accuracy"]),
        pd.DataFrame(examples, columns=["strength", "image", "predicted", "right"]),
        np.concatenate(pictures),
    )


def attack_directions(
    classifier: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.uint8], device: torch.device
) -> NDArray[np.int8]:
    """The sign of the gradient of the loss at each pixel `[N, height, width]`: where more light makes it larger, 1."""
    classifier = classifier.to(device)
    batches = zip(torch.tensor(images).split(BATCH_SIZE), torch.tensor(labels).split(BATCH_SIZE), strict=True)
    signs = [_gradient(classifier, batch.to(device), right.to(device)).sign() for batch, right in batches]
    return torch.cat(signs).to(torch.int8).cpu().numpy()


def attacked(images: NDArray[np.uint8], directions: NDArray[np.int8], strength: int) -> NDArray[np.uint8]:
    """Images as a file would hold them: grey levels stay whole and within 0 and 255."""
    return np.clip(images + np.int16(strength) * directions, 0, 255).astype(np.uint8)


def attack_summary(table: pd.DataFrame) -> dict[str, float]:
    """The accuracy at each strength above 0, by the strength's name."""
    values = zip(table["strength"], table["accuracy"], strict=True)
    return {str(strength): round(float(accuracy), DECIMALS) for strength, accuracy in values if strength}


def _gradient(classifier: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Of how far the other classes are above the right one, log Σ exp(other logits) - right logit, at each pixel.

    The cross-entropy's gradient is the same times 1 - the probability of the right class: it has the same signs, but
    vanishes to rounding where the classifier is sure, and would make it look robust.
    """
    pixels = images.float().requires_grad_()
    logits: Tensor = classifier(pixels)
    right = one_hot(labels.long(), logits.shape[1]).bool()
    others = logits.masked_fill(right, -torch.inf).logsumexp(1)
    (gradient,) = torch.autograd.grad((others - logits[right]).sum(), pixels)
    return gradient
