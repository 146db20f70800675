"""What a classifier predicts for images that are none of its classes, and whether its logits reveal them.

By the energy score of Liu et al. (2020), "Energy-based out-of-distribution detection", NeurIPS: -log Σ exp(logit), low
for what is like the training images.
"""

from collections.abc import Mapping
from math import ceil, prod
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mnist_pipeline.evaluation.analysis import EvaluationInput, Result, markdown_table
from mnist_pipeline.evaluation.figures import BLUE, GREY, ORANGE, as_png, show_image, without_frame

SEED = 2020
NOISE_IMAGES = 2000
KEPT = 0.95  # share of the test images that a detector is to keep
MOST_PIXELS = 10**8  # of a kind, counted in each channel; MNIST has 7,840,000
EXAMPLES = 4  # images of each kind in the figure


def analyse(test: EvaluationInput) -> Result:
    kinds = out_of_distribution_images(test.images, test.dataset)
    logits = {"test images": test.logits} | {kind: test.predict(images) for kind, images in kinds.items()}
    table, rows = detection_table(logits), []
    for row in table.to_dict("records"):
        count, let_through = row["images"], row["fpr_at_95_tpr"]
        # The blank images are all that there are, no sample.
        shown = f"{let_through:.1%}" if row["kind"] == "blank" else test.share(let_through * count, count, 1)
        rows.append((row["kind"].replace("_", " "), f"{count:,}", f"{row['mean_confidence']:.0%}", shown))
    card = f"""\
## Out of distribution

![Energy scores](figures/out_of_distribution.png)

An image of none of the classes gets a label all the same. Undetected are those with an energy score no higher than \
that of {KEPT:.0%} of the test images.

{markdown_table(("kind", "images", "mean confidence", "undetected"), rows)}"""
    return Result(
        scalars={"ood_auroc": float(table["auroc"].mean())},
        tables={"out_of_distribution": table},
        figures={"out_of_distribution": draw_out_of_distribution(table, logits, {"test images": test.images, **kinds})},
        card=card,
    )


def out_of_distribution_images(images: NDArray[np.uint8], dataset: str) -> dict[str, NDArray[np.uint8]]:
    """Images of each kind, the same each time, and as the test images `[N, height, width, channels]` in shape.

    Garments are left out where they are the classes. Of large images there are fewer, so that they fit into memory.

    - `fashion_mnist`: photographs of garments, resized, in grey.
    - `uniform_noise`: each channel of each pixel is drawn evenly from 0 to 255.
    - `shuffled_pixels`: test images, each with its whole pixels in an order of its own.
    - `blank`: one image of each grey level.
    """
    random = np.random.default_rng(SEED)
    _, *shape = images.shape
    *_, channels = shape
    most = max(1, MOST_PIXELS // prod(shape))
    noise = random.integers(0, 256, (min(NOISE_IMAGES, most), *shape), dtype=np.uint8)
    chosen = np.ascontiguousarray(images[:: ceil(len(images) / most)])
    pixels = chosen.view(f"V{channels}").reshape(len(chosen), -1)
    shuffled = random.permuted(pixels, axis=1).view(np.uint8).reshape(chosen.shape)
    blank = np.full((256, *shape), 255, np.uint8)
    blank[..., :3] = np.arange(256)[:, None, None, None]  # of four channels, the last is opacity
    kinds = {"uniform_noise": noise, "shuffled_pixels": shuffled, "blank": blank}
    if dataset == "fashion-mnist":
        return kinds
    garments = np.full((500, *shape), 255, np.uint8)
    for garment, image in zip(garments, load_garments(), strict=True):
        garment[..., :3] = np.asarray(Image.fromarray(image).resize((shape[1], shape[0])))[..., None]
    return {"fashion_mnist": garments, **kinds}


def load_garments() -> NDArray[np.uint8]:
    """500 test images of Fashion-MNIST, 50 of each class, `[500, 28, 28]`.

    Fashion-MNIST: Xiao, Rasul and Vollgraf (2017), https://github.com/zalandoresearch/fashion-mnist, copyright Zalando
    SE, under the MIT licence in `fashion_mnist_license.txt`. `fashion_mnist.png` is a sheet of 20 rows of 25 images:
    those that a stratified split with seed 2017 drew from the test files whose SHA-256 `data.catalog` has.
    """
    sheet = np.asarray(Image.open(Path(__file__).with_name("fashion_mnist.png")))
    return sheet.reshape(20, 28, 25, 28).swapaxes(1, 2).reshape(500, 28, 28)


def energy(logits: Tensor) -> NDArray[np.float64]:
    """Energy `[N]` of logits `[N, classes]`."""
    return -logits.double().logsumexp(1).numpy()


def energy_bound(energies: NDArray[np.float64]) -> float:
    """The lowest energy that at least `KEPT` of the test images do not exceed."""
    return float(np.quantile(energies, KEPT, method="inverted_cdf"))


def detection_table(logits: Mapping[str, Tensor]) -> pd.DataFrame:
    """For each kind but the first, the test images, of logits `[M, classes]`:

    - `images`, their `mean_confidence`, and the share of them with a confidence of 0.9 or more, `confident`.
    - `auroc`: the probability that an image of the kind has more energy than a test image; 1 at best, 0.5 by guessing.
    - `fpr_at_95_tpr`: the share of the kind that is let through where 95 % of the test images are.
    """
    from sklearn.metrics import roc_auc_score

    (_, of_test), *others = logits.items()
    known, rows = energy(of_test), []
    for kind, outputs in others:
        found, confidence = energy(outputs), outputs.double().softmax(1).amax(1).numpy()
        area = roc_auc_score(np.repeat([0, 1], [len(known), len(found)]), np.concatenate([known, found]))
        let_through = (found <= energy_bound(known)).mean()
        rows.append((kind, len(found), confidence.mean(), (confidence >= 0.9).mean(), area, let_through))
    columns = ["kind", "images", "mean_confidence", "confident", "auroc", "fpr_at_95_tpr"]
    return pd.DataFrame(rows, columns=columns)


@as_png
def draw_out_of_distribution(
    table: pd.DataFrame, logits: Mapping[str, Tensor], images: Mapping[str, NDArray[np.uint8]]
) -> Figure:
    """The energies of each kind of image, the test images first, beside some of the images."""
    energies = {kind: energy(outputs) for kind, outputs in logits.items()}
    captions = {
        row.kind: f"{row.fpr_at_95_tpr:.1%} undetected, AUROC {row.auroc:.3f}, confidence {row.mean_confidence:.1%}"
        for row in table.itertuples()
    }
    figure = Figure(figsize=(7.2, 1.05 * len(energies) + 1.1), layout="constrained")
    heading = "Energy scores of out-of-distribution (OOD) images"
    explained = f"dashed: {KEPT:.0%} of the test images are to its left; so are the OOD images that stay undetected"
    figure.suptitle(f"{heading}\n{explained}", fontsize=11)
    edges = np.histogram_bin_edges(np.concatenate(list(energies.values())), 80)
    grid = figure.subplots(len(energies), 2, width_ratios=[2, 5], squeeze=False)
    for (pictures, axes), (kind, values) in zip(grid, energies.items(), strict=True):
        chosen = images[kind][:: max(1, len(images[kind]) // EXAMPLES)][:EXAMPLES]
        gap = ceil(chosen.shape[2] / 28)
        gaps = (0, 0), (0, 0), (gap, gap), (0, 0)
        show_image(pictures, np.hstack(list(np.pad(chosen, gaps, constant_values=255))))
        pictures.set_title(kind.replace("_", " "), fontsize=10, loc="left", pad=3)
        axes.hist(values, edges, color=ORANGE if kind in captions else BLUE)
        axes.axvline(energy_bound(next(iter(energies.values()))), color=GREY, linestyle="--", linewidth=1)
        axes.set(xlim=(edges[0], edges[-1]), yticks=[])
        axes.set_title(captions.get(kind, ""), fontsize=9, loc="left", pad=3)
        without_frame(axes, "top", "right", "left")
    for axes in grid[:-1, 1]:
        axes.tick_params(labelbottom=False)
    grid[-1, 1].set_xlabel("energy score, −log Σ exp(logit)")
    return figure
