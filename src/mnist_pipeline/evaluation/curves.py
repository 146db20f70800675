"""How a training went, as a figure."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mnist_pipeline.evaluation.figures import BLUE, ORANGE, as_png, without_frame

CURVES = ("train_loss", "validation_loss", "validation_accuracy")


@as_png
def draw_curves(history: pd.DataFrame) -> Figure:
    """Loss and validation accuracy after each epoch, with the names of `CURVES`."""
    figure = Figure(figsize=(7.2, 3), layout="constrained")
    losses, accuracy = figure.subplots(1, 2)
    losses.plot(history["epoch"], history["train_loss"], color=ORANGE, marker=".", label="training set")
    losses.plot(history["epoch"], history["validation_loss"], color=BLUE, marker=".", label="validation set")
    losses.legend(frameon=False)
    accuracy.plot(history["epoch"], 100 * history["validation_accuracy"], color=BLUE, marker=".")
    losses.set_title("Loss (cross-entropy)", fontsize=11)
    accuracy.set_title("Accuracy on the validation set, %", fontsize=11)
    for axes in (losses, accuracy):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        without_frame(axes)
    return figure
