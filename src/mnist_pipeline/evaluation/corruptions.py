"""How much accuracy is left under what a photograph, a scanner or another hand does to a digit.

Ten corruptions at five strengths each, in the manner of MNIST-C (Mu and Gilmer, 2019), from what hardly shows to what a
person reads with effort. The same images are corrupted in the same way each time, so that models can be compared.
"""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mnist_pipeline.evaluation.analysis import EvaluationInput, Result, markdown_table
from mnist_pipeline.evaluation.figures import as_png

SEED = 1998
CHUNK = 2000
SHOWN = 3  # the strength of which the figure shows examples
PASSES = 50

Corruption = Callable[[Tensor, float, torch.Generator], Tensor]
"""Images `float [N, height, width]`, 0 to 255, under a corruption of some strength."""


def analyse(test: EvaluationInput) -> Result:
    rows, examples, images = [], [], len(test.images)
    for name, level, changed in corrupted(test.images):
        correct = test.predict(changed).argmax(1).numpy() == test.labels
        rows.append((name, level, CORRUPTIONS[name][1][level - 1], correct.mean()))
        if level == SHOWN:
            examples.append(changed[0])
        test.on_progress(images)
    table = pd.DataFrame(rows, columns=["corruption", "strength", "value", "accuracy"])
    mean, worst = float(table["accuracy"].mean()), float(table["accuracy"].min())
    means = table.groupby("corruption")["accuracy"].mean().sort_values()
    cells = [(str(name), test.share(accuracy * images, images, 1)) for name, accuracy in means.items()]
    card = f"""\
## Corruptions

![Accuracy under each corruption](figures/corruptions.png)

Mean accuracy on the test images under ten corruptions at five strengths each: {mean:.1%}; the lowest is {worst:.1%}. \
The intervals count each image once.

{markdown_table(("corruption", "accuracy"), cells)}"""
    return Result(
        scalars={"corruption_accuracy": mean, "corruption_accuracy_worst": worst},
        tables={"corruptions": table},
        figures={"corruptions": draw_corruptions(table, test.correct.mean(), np.stack(examples))},
        card=card,
    )


def corrupted(images: NDArray[np.uint8]) -> Iterator[tuple[str, int, NDArray[np.uint8]]]:
    """Each corruption at each strength, counted from 1, of raw images `[N, height, width]`."""
    for name, (corrupt, strengths) in CORRUPTIONS.items():
        for level, strength in enumerate(strengths, 1):
            generator = torch.Generator().manual_seed(SEED)
            parts = [corrupt(part.float(), strength, generator) for part in torch.tensor(images).split(CHUNK)]
            yield name, level, torch.cat(parts).round().clamp(0, 255).to(torch.uint8).numpy()


def _shift(images: Tensor, pixels: float, generator: torch.Generator) -> Tensor:
    """Along a random direction."""
    angle = _draw(images, generator) * 2 * math.pi
    _, height, width = images.shape
    return _mapped(images, {(0, 2): 2 * pixels / width * angle.cos(), (1, 2): 2 * pixels / height * angle.sin()})


def _rotate(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    angle = _sign(images, generator) * math.radians(degrees)
    cosine, sine = angle.cos(), angle.sin()
    return _mapped(images, {(0, 0): cosine, (0, 1): -sine, (1, 0): sine, (1, 1): cosine})


def _scale(images: Tensor, factor: float, generator: torch.Generator) -> Tensor:
    scale = factor ** _sign(images, generator)
    return _mapped(images, {(0, 0): scale, (1, 1): scale})


def _shear(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    return _mapped(images, {(0, 1): _sign(images, generator) * math.tan(math.radians(degrees))})


def _blur(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    reach = 8  # beyond, a Gaussian of 2.5 pixels is below a hundredth of its peak
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    kernel = kernel / kernel.sum()
    rows = functional.conv2d(images.unsqueeze(1), kernel.view(1, 1, -1, 1), padding=(reach, 0))
    return functional.conv2d(rows, kernel.view(1, 1, 1, -1), padding=(0, reach)).squeeze(1)


def _thickness(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Thicken or thin strokes by the share of a pixel on either side."""
    thicker = functional.max_pool2d(images, 3, stride=1, padding=1)
    thinner = -functional.max_pool2d(-images, 3, stride=1, padding=1)
    other = torch.where(_sign(images, generator)[:, None, None] > 0, thicker, thinner)
    return torch.lerp(images, other, share)


def _occlusion(images: Tensor, side: float, generator: torch.Generator) -> Tensor:
    """Blacken a square somewhere in the middle, where the digit is."""
    _, height, width = images.shape
    inside = []
    for length, drawn in ((height, _draw(images, generator)), (width, _draw(images, generator))):
        start = (length / 4 + drawn * (length / 2 - side)).round()[:, None]
        place = torch.arange(length)
        inside.append((place >= start) & (place < start + side))
    return images.masked_fill(inside[0].unsqueeze(2) & inside[1].unsqueeze(1), 0)


CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, ...]]] = {
    "shift": (_shift, (1, 2, 3, 4, 5)),  # pixels
    "rotation": (_rotate, (10, 20, 30, 40, 50)),  # degrees
    "scale": (_scale, (1.1, 1.2, 1.3, 1.4, 1.5)),
    "shear": (_shear, (10, 20, 30, 35, 40)),  # degrees
    "noise": (  # grey levels
        lambda images, deviation, generator: images + deviation * torch.randn(images.shape, generator=generator),
        (20, 40, 60, 80, 100),
    ),
    "blur": (_blur, (0.5, 1, 1.5, 2, 2.5)),  # pixels
    "contrast": (lambda images, share, _: images * (1 - share), (0.2, 0.4, 0.6, 0.8, 0.9)),
    "thickness": (_thickness, (0.15, 0.3, 0.45, 0.6, 0.75)),  # of a pixel
    "occlusion": (_occlusion, (4, 6, 8, 10, 12)),  # pixels
    "inversion": (lambda images, share, _: torch.lerp(images, 255 - images, share), (0.1, 0.2, 0.3, 0.4, 1)),
}
"""Each with its five strengths, in units of length, angle or brightness where they are no factors or shares."""


def _draw(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(len(images), generator=generator)


def _sign(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, (len(images),), generator=generator) * 2.0 - 1


def _mapped(images: Tensor, entries: Mapping[tuple[int, int], Tensor]) -> Tensor:
    """Images under affine maps `[N, 2, 3]` that differ from the identity in some entries `[N]`."""
    maps = torch.eye(2, 3).repeat(len(images), 1, 1)
    for (row, column), values in entries.items():
        maps[:, row, column] = values
    grid = functional.affine_grid(maps, [len(images), 1, *images.shape[1:]], align_corners=False)
    moved = functional.grid_sample(images.unsqueeze(1), grid, mode="bicubic", align_corners=False)
    return moved.squeeze(1).clamp(0, 255)


@as_png
def draw_corruptions(table: pd.DataFrame, clean: float, examples: NDArray[np.uint8]) -> Figure:
    """Accuracy under each corruption at each strength, and on `clean` images, beside one example of each corruption."""
    grid = table.pivot(index="corruption", columns="strength", values="accuracy").loc[table["corruption"].unique()]
    figure = Figure(figsize=(6.2, 0.5 * len(grid) + 1.2), layout="constrained")
    pictures, axes = figure.subplots(1, 2, width_ratios=[1, 9])
    pictures.imshow(np.vstack(list(examples)), cmap="gray", vmin=0, vmax=255, aspect="auto")
    pictures.set(xticks=[], yticks=[], xlabel=f"strength\n{SHOWN}")
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
