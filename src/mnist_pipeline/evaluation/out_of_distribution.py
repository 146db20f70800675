"""What a classifier predicts for images that are none of its classes, and whether its logits reveal them.

By the energy score of Liu et al. (2020), "Energy-based out-of-distribution detection", NeurIPS: -log Σ exp(logit), low
for what is like the training images.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from mnist_pipeline.evaluation.analysis import EvaluationInput, Result, markdown_table
from mnist_pipeline.evaluation.figures import BLUE, GREY, ORANGE, as_png, show_image, without_frame

SEED = 2020
NOISE_IMAGES = 2000
KEPT = 0.95  # share of the test images that a detector is to keep
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
    """Images `[M, height, width]` of each kind, the same each time; garments are left out where they are the classes.

    - `fashion_mnist`: photographs of garments, which fill the image as no digit does.
    - `uniform_noise`: each pixel is drawn evenly from 0 to 255.
    - `shuffled_pixels`: the test images, `[N, height, width]`, each with its pixels in an order of its own.
    - `blank`: one image of each grey level.
    """
    random = np.random.default_rng(SEED)
    count, height, width = images.shape
    kinds = {
        "uniform_noise": random.integers(0, 256, (NOISE_IMAGES, height, width), dtype=np.uint8),
        "shuffled_pixels": random.permuted(images.reshape(count, -1), axis=1).reshape(images.shape),
        "blank": np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None], (256, height, width)).copy(),
    }
    return kinds if dataset == "fashion-mnist" else {"fashion_mnist": load_garments(), **kinds}


def load_garments() -> NDArray[np.uint8]:
    """500 test images of Fashion-MNIST, 50 of each class, `[500, 28, 28]`.

    Fashion-MNIST: Xiao, Rasul and Vollgraf (2017), https://github.com/zalandoresearch/fashion-mnist, copyright Zalando
    SE, under the MIT licence in `fashion_mnist_license.txt`. `fashion_mnist.png` is a sheet of 20 rows of 25 images:
    those that a stratified split with seed 2017 drew from the test files whose SHA-256 `data.catalog` has.
    """
    from PIL import Image

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
    """The energies of each kind of image, the test images first, beside some of the images `[M, height, width]`."""
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
        show_image(pictures, np.hstack(list(np.pad(chosen, ((0, 0), (0, 0), (1, 1)), constant_values=255))))
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
