"""How much accuracy is left where each pixel is changed a little, in the direction that harms most.

The fast gradient sign method, by Goodfellow, Shlens and Szegedy (2015), "Explaining and harnessing adversarial
examples", ICLR. It is one step along one gradient: an attack in many steps harms more, so that what is left here is an
upper bound of what is left there.
"""

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import one_hot

from mnist_pipeline.data.dataset import batch_size
from mnist_pipeline.evaluation.analysis import EvaluationInput, Result
from mnist_pipeline.evaluation.figures import BLUE, GREY, ORANGE, as_png, shorten, show_image, without_frame

STRENGTHS = (0, 4, 8, 16, 32, 64)  # levels of 255 by which each channel of a pixel changes at most
PASSES = len(STRENGTHS)
SHOWN = 3  # images of which the figure shows what becomes of them


def analyse(test: EvaluationInput) -> Result:
    images, size = len(test.labels), max(SHOWN, batch_size(test.images.shape))
    right, examples = dict.fromkeys(STRENGTHS, 0), []
    for start in range(0, images, size):
        batch, labels = test.images[start : start + size], test.labels[start : start + size]
        directions = attack_directions(test.classifier, batch, labels, test.device)
        for strength in STRENGTHS:
            changed = attacked(batch, directions, strength)
            predicted = test.predict(changed).argmax(1).numpy()
            correct = predicted == labels
            right[strength] += int(correct.sum())
            if start == 0:
                names = [test.label_names[label] for label in predicted[:SHOWN]]
                examples.append(list(zip(changed, names, correct, strict=False)))
            test.on_progress(len(batch))
    rows = [(strength, correct / images) for strength, correct in right.items()]
    table = pd.DataFrame(rows, columns=["strength", "accuracy"])
    left = [f"{test.share(accuracy * images, images, 1)} at {strength}" for strength, accuracy in rows[1:]]
    card = f"""\
## Attack

![Accuracy under attack](figures/attack.png)

One step of the fast gradient sign method leaves an accuracy of {", ".join(left)} grey levels."""
    figures = {"attack": draw_attack(table, examples)}
    return Result({"attack_accuracy_16": dict(rows)[16]}, {"attack": table}, figures, card)


def attack_directions(
    classifier: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.int64], device: torch.device
) -> NDArray[np.int8]:
    """Sign of the gradient of the loss at each pixel, `[N, height, width, channels]`, of as many raw images.

    It is 1 where more light makes the loss larger, and 0 for opacity, the fourth channel.

    The gradient is that of log Σ exp(other logits) - right logit. The cross-entropy's is the same times 1 - the
    probability of the right class: it has the same signs, but vanishes to rounding where the classifier is sure, and
    would make it look robust.
    """
    pixels = torch.tensor(images, device=device).float().requires_grad_()
    logits = classifier.to(device)(pixels)
    right = one_hot(torch.tensor(labels, device=device).long(), logits.shape[1]).bool()
    others = logits.masked_fill(right, -torch.inf).logsumexp(1)
    (gradient,) = torch.autograd.grad((others - logits[right]).sum(), pixels)
    gradient[..., 3:] = 0
    return gradient.sign().to(torch.int8).cpu().numpy()


def attacked(images: NDArray[np.uint8], directions: NDArray[np.int8], strength: int) -> NDArray[np.uint8]:
    """Images as a file would hold them: levels stay whole and within 0 and 255."""
    return np.clip(images + np.int16(strength) * directions, 0, 255).astype(np.uint8)


@as_png
def draw_attack(table: pd.DataFrame, examples: list[list[tuple[NDArray[np.uint8], str, bool]]]) -> Figure:
    """Accuracy at each strength, and beneath it some images, their predicted labels, and whether these are right."""
    count, rows = len(table), len(examples[0])
    figure = Figure((1.05 * count + 0.6, 2.6 + 1.25 * rows), layout=ConstrainedLayoutEngine(h_pad=0.08))
    grid = figure.add_gridspec(1 + rows, count, height_ratios=[1.8, *[1] * rows])
    above = figure.add_subplot(grid[0, :])
    bars = above.bar(range(count), 100 * table["accuracy"], color=BLUE, width=0.6)
    above.bar_label(bars, [f"{accuracy:.1%}" for accuracy in table["accuracy"]], padding=2, fontsize=9)
    above.set_xticks(range(count), table["strength"])
    above.set(xlim=(-0.5, count - 0.5), ylim=(0, 112), yticks=range(0, 101, 25), ylabel="accuracy, %")
    above.set_xlabel("largest change of a pixel, in grey levels of 255")
    figure.suptitle("Accuracy under a one-step attack, and the predictions for some images", fontsize=11)
    without_frame(above)
    for column, shown in enumerate(examples):
        for row, (image, predicted, right) in enumerate(shown, 1):
            axes = figure.add_subplot(grid[row, column])
            show_image(axes, image)
            axes.set_axis_off()
            color, weight = (GREY, "normal") if right else (ORANGE, "bold")
            axes.set_title(f"→ {shorten(predicted, 11)}", fontsize=9, color=color, fontweight=weight, pad=2)
    return figure
