"""How much accuracy is left under what a photograph, a scanner or another hand does to an image.

Corruptions at five strengths each, in the manner of MNIST-C (Mu and Gilmer, 2019), from what hardly shows to what a
person reads with effort. The same images are corrupted in the same way each time, so that models can be compared.
"""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mnist_pipeline.data.dataset import batch_size
from mnist_pipeline.evaluation.analysis import EvaluationInput, Result, markdown_table
from mnist_pipeline.evaluation.figures import as_png, show_image

SEED = 1998
SHOWN = 3  # the strength of which the figure shows examples
PASSES = 50
OF_STROKES = ("thickness", "inversion")  # which mean nothing for other images
LENGTHS = ("shift", "blur", "thickness", "occlusion")  # given for images of 28×28 pixels
MOVED = ("shift", "rotation", "scale", "shear", "blur")  # the others leave opacity, the fourth channel, as it is

CORRUPTIONS: dict[str, tuple[float, ...]] = {
    "shift": (1, 2, 3, 4, 5),  # pixels
    "rotation": (10, 20, 30, 40, 50),  # degrees
    "scale": (1.1, 1.2, 1.3, 1.4, 1.5),
    "shear": (10, 20, 30, 35, 40),  # degrees
    "noise": (20, 40, 60, 80, 100),  # grey levels
    "blur": (0.5, 1, 1.5, 2, 2.5),  # pixels
    "contrast": (0.2, 0.4, 0.6, 0.8, 0.9),
    "thickness": (0.15, 0.3, 0.45, 0.6, 0.75),  # pixels on either side
    "occlusion": (4, 6, 8, 10, 12),  # pixels
    "inversion": (0.1, 0.2, 0.3, 0.4, 1),
}
"""Each with its five strengths, in units of length, angle or brightness where they are no factors or shares."""


def analyse(test: EvaluationInput) -> Result:
    rows, examples, images = [], [], len(test.labels)
    for name, level, value, parts in corrupted(test.images, test.of_strokes):
        predicted: list[Tensor] = []
        for part in parts:
            if level == SHOWN and not predicted:
                examples.append(part[0])
            predicted.append(test.predict(part).argmax(1))
            test.on_progress(len(part))
        rows.append((name, level, value, (torch.cat(predicted).numpy() == test.labels).mean()))
    test.on_progress((PASSES - len(rows)) * images)  # those that mean nothing for these images
    table = pd.DataFrame(rows, columns=["corruption", "strength", "value", "accuracy"])
    mean, worst = float(table["accuracy"].mean()), float(table["accuracy"].min())
    means = table.groupby("corruption")["accuracy"].mean().sort_values()
    cells = [(str(name), test.share(accuracy * images, images, 1)) for name, accuracy in means.items()]
    card = f"""\
## Corruptions

![Accuracy under each corruption](figures/corruptions.png)

Mean accuracy on the test images under {"ten" if test.of_strokes else "eight"} corruptions at five strengths \
each: {mean:.1%}; the lowest is {worst:.1%}. The intervals count each image once.

{markdown_table(("corruption", "accuracy"), cells)}"""
    return Result(
        scalars={"corruption_accuracy": mean, "corruption_accuracy_worst": worst},
        tables={"corruptions": table},
        figures={"corruptions": draw_corruptions(table, test.correct.mean(), np.stack(examples))},
        card=card,
    )


def corrupted(
    images: NDArray[np.uint8], of_strokes: bool
) -> Iterator[tuple[str, int, float, Iterator[NDArray[np.uint8]]]]:
    """Each corruption at each strength, counted from 1, with its value for raw images `[N, height, width, channels]`.

    The corrupted images come in parts, of which only one is in memory at a time.
    """
    for name, strengths in CORRUPTIONS.items():
        if of_strokes or name not in OF_STROKES:
            for level, strength in enumerate(strengths, 1):
                value = strength * (min(images.shape[1:3]) / 28) if name in LENGTHS else strength
                generator = torch.Generator().manual_seed(SEED)
                corrupt = partial(_corrupt, name=name, value=value, of_strokes=of_strokes, generator=generator)
                yield name, level, value, map(corrupt, torch.from_numpy(images).split(2 * batch_size(images.shape)))


def _corrupt(part: Tensor, name: str, value: float, of_strokes: bool, generator: torch.Generator) -> NDArray[np.uint8]:
    """Raw images under a corruption; what comes in from outside is black where they are `of_strokes`, else the edge."""
    images = part.movedim(3, 1).float().contiguous()  # [N, channels, height, width]
    count, _, *size = images.shape
    match name:
        case "noise":
            changed = images + value * torch.randn(images.shape, generator=generator)
        case "blur":
            reach = math.ceil(8 / 28 * min(size))  # beyond, the widest Gaussian is below a hundredth of its peak
            kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / value) ** 2)
            kernel = kernel / kernel.sum()
            planes = images.flatten(0, 1).unsqueeze(1)  # [N channels, 1, height, width]
            surrounded = functional.pad(planes, (reach,) * 4, "constant" if of_strokes else "replicate")
            rows = functional.conv2d(surrounded, kernel.view(1, 1, -1, 1))
            changed = functional.conv2d(rows, kernel.view(1, 1, 1, -1)).view(images.shape)
        case "contrast":  # strokes fade to black, other images to their mean grey
            changed = images * (1 - value) if of_strokes else images.lerp(images[:, :3].mean((1, 2, 3), True), value)
        case "thickness":
            reach = math.ceil(value)
            planes = images.flatten(0, 1)  # a single channel is slow to pool otherwise
            thicker = functional.max_pool2d(planes, 2 * reach + 1, stride=1, padding=reach).view(images.shape)
            thinner = -functional.max_pool2d(-planes, 2 * reach + 1, stride=1, padding=reach).view(images.shape)
            other = torch.where(_sign(count, generator)[:, None, None, None] > 0, thicker, thinner)
            changed = torch.lerp(images, other, value / reach)
        case "occlusion":  # by a black square somewhere in the middle
            inside = []
            for length in size:
                drawn = torch.rand(count, generator=generator)
                start = (length / 4 + drawn * (length / 2 - value)).round()[:, None]
                inside.append((torch.arange(length) >= start) & (torch.arange(length) < start + value))
            changed = images.masked_fill(inside[0][:, None, :, None] & inside[1][:, None, None, :], 0)
        case "inversion":
            changed = torch.lerp(images, 255 - images, value)
        case _:
            changed = _moved(images, name, value, generator, "zeros" if of_strokes else "border")
    if name not in MOVED:
        changed[:, 3:] = images[:, 3:]
    return changed.round().clamp(0, 255).to(torch.uint8).movedim(1, 3).contiguous().numpy()


def _moved(images: Tensor, name: str, value: float, generator: torch.Generator, outside: str) -> Tensor:
    """Images under an affine map `[N, 2, 3]`, in a random direction."""
    count, _, height, width = images.shape
    maps = torch.eye(2, 3).repeat(count, 1, 1)
    match name:
        case "shift":
            angle = torch.rand(count, generator=generator) * 2 * math.pi
            maps[:, 0, 2], maps[:, 1, 2] = 2 * value / width * angle.cos(), 2 * value / height * angle.sin()
        case "rotation":
            angle = _sign(count, generator) * math.radians(value)
            maps[:, 0, 0], maps[:, 0, 1] = angle.cos(), -angle.sin()
            maps[:, 1, 0], maps[:, 1, 1] = angle.sin(), angle.cos()
        case "scale":
            maps[:, 0, 0] = maps[:, 1, 1] = value ** _sign(count, generator)
        case "shear":
            maps[:, 0, 1] = _sign(count, generator) * math.tan(math.radians(value))
    maps[:, 0, 1] *= height / width  # both sides of an image have a length of 2 here
    maps[:, 1, 0] *= width / height
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, "bicubic", outside, align_corners=False)


def _sign(count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1


@as_png
def draw_corruptions(table: pd.DataFrame, clean: float, examples: NDArray[np.uint8]) -> Figure:
    """Accuracy under each corruption at each strength, and on `clean` images, beside one example of each corruption."""
    grid = table.pivot(index="corruption", columns="strength", values="accuracy").loc[table["corruption"].unique()]
    figure = Figure(figsize=(6.2, 0.5 * len(grid) + 1.2), layout="constrained")
    _, height, width, _ = examples.shape
    pictures, axes = figure.subplots(1, 2, width_ratios=[min(3, width / height), 9])
    show_image(pictures, np.vstack(list(examples)), aspect="auto")
    pictures.set(xlabel=f"strength\n{SHOWN}")
    axes.imshow(grid, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), accuracy in np.ndenumerate(grid):
        color = "black" if accuracy > 0.5 else "white"
        axes.text(column, row, f"{accuracy:.1%}", ha="center", va="center", color=color, fontsize=9)
    axes.set_xticks(range(grid.shape[1]), grid.columns)
    axes.set_yticks(range(grid.shape[0]), grid.index)
    axes.set(xlabel="strength, from barely visible to hard to read")
    heading = f"Accuracy under corruption: {table['accuracy'].mean():.1%} on average, {clean:.1%} without"
    figure.suptitle(heading, fontsize=11)
    return figure
