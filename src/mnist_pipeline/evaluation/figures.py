"""What the figures share: their style, their colours, and grids of captioned images.

They are drawn without pyplot, so that no global state is touched. Colour-blind readers distinguish blue, orange and
grey too.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from io import BytesIO
from math import ceil, sqrt
from typing import Literal, ParamSpec

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

BLUE, ORANGE, GREY = "#1f6fb4", "#c8500a", "#666666"
DOTS_PER_INCH = 110
Arguments = ParamSpec("Arguments")


def as_png(draw: Callable[Arguments, Figure]) -> Callable[Arguments, bytes]:
    """Make a function that draws a figure return a PNG file: equal input gives equal bytes, whatever the settings."""

    @wraps(draw)
    def png(*args: Arguments.args, **kwargs: Arguments.kwargs) -> bytes:
        content = BytesIO()
        with matplotlib.style.context(["default", {"text.parse_math": False}]):  # a label may have two dollar signs
            # The note `Software` would name matplotlib's version
            draw(*args, **kwargs).savefig(content, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
        return content.getvalue()

    return png


def shorten(name: str, most: int = 20) -> str:
    """A label of at most so many characters, which leaves space for the figure beside it."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def without_frame(axes: Axes, *sides: str) -> None:
    axes.spines[list(sides or ("top", "right"))].set_visible(False)


def over_white(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images `[…, channels]` as they look on white paper: those with opacity, the fourth channel, lose it."""
    opacity = images[..., 3:] / 255
    return images if images.shape[-1] < 4 else (255 - opacity * (255.0 - images[..., :3])).round().astype(np.uint8)


def show_image(
    axes: Axes, image: NDArray[np.uint8], colours: str = "gray", aspect: Literal["equal", "auto"] = "equal"
) -> None:
    """An image `[height, width, channels]`; `colours` is how a grey one is shown."""
    axes.imshow(over_white(image), cmap=colours, vmin=0, vmax=255, aspect=aspect)
    axes.set(xticks=[], yticks=[])


def interval_reach(middle: pd.Series, low: pd.Series, high: pd.Series) -> NDArray[np.float64]:
    """How far an interval reaches on either side; not below 0, as rounding may put an end on the wrong side."""
    return np.maximum([middle - low, high - middle], 0)


@as_png
def image_grid(
    heading: str, images: NDArray[np.uint8], captions: Sequence[str], details: Sequence[str], framed: Sequence[bool]
) -> Figure:
    """A grid of images `[N, height, width, channels]`, about as wide as high, each between its caption and its details.

    Grey images are shown as ink on paper if most of their pixels are black.
    """
    colours = "gray_r" if 2 * np.count_nonzero(images) < images.size else "gray"
    longest = max(images.shape[1:3])
    side = 1.05 * min(1.5, max(1, longest / 64))  # inches
    width = max(side, 0.085 * max(map(len, captions), default=0), 0.071 * max(map(len, details), default=0))
    columns = max(4, ceil(sqrt(2 * len(captions) / width)))
    rows, lines = ceil(len(captions) / columns), heading.count("\n") + 1
    figure = Figure(
        figsize=(
            max(5, columns * width),
            0.1 + 0.25 * lines + rows * (side * max(0.5, images.shape[1] / longest) + 0.35),
        ),
        layout="constrained",
    )
    figure.suptitle(heading, fontsize=11)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat) if rows else []
    for axes in grid:
        axes.set_axis_off()
    for axes, image, caption, detail, frame in zip(grid, images, captions, details, framed, strict=False):
        show_image(axes, image, colours)
        axes.set_title(caption, fontsize=10, color=ORANGE, fontweight="bold", pad=3)
        axes.text(0.5, -0.04, detail, fontsize=8, color=GREY, ha="center", va="top", transform=axes.transAxes)
        if frame:
            axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=BLUE, linewidth=2))
    return figure
