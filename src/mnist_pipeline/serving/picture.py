"""Pictures of digits, of any size and on any ground, as MNIST would have them."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mnist_pipeline.data.catalog import IMAGE_SIZE
from mnist_pipeline.data.geometry import centres_of_mass
from mnist_pipeline.errors import PipelineError, in_one_line

Grey = NDArray[np.float32]

FORMATS = ("PNG", "JPEG")
MOST_PIXELS = 50_000_000
BOX = 20
"""Pixels of the longer side of a digit in MNIST, whose centre of mass stands at the pixel (14, 14)."""
FARTHEST = 1.5
"""Pixels from there at which a picture of MNIST's size still counts as one of MNIST's."""
FAINTEST = 24
"""Grey levels that ink must differ from its ground by."""
NOISE = 0.2
"""What is fainter than this share of the strongest ink is paper, or what JPEG left around a stroke."""
SIGMAS = 5
"""What is fainter than so many standard deviations of the noise is noise: of Gaussian noise, all but 1 in 3 million."""


def as_in_mnist(path: Path) -> NDArray[np.uint8]:
    """The digit in a PNG or JPEG file, bright on black, `uint8 [28, 28]`.

    It is cropped, scaled so that its longer side is 20 pixels, and its centre of mass put at (14, 14). A picture that
    is so already comes back as it is.

    Raises:
        PipelineError: the file is no such picture, is too large or damaged, or nothing is drawn on it.
    """
    grey = _grey(path)
    ink = _ink(grey)
    strongest = float(ink.max())
    if strongest < FAINTEST:
        raise PipelineError(f"{path}: nothing is drawn on it: no grey is {FAINTEST} levels from that of its edge")
    if _is_of_mnist(ink):
        return ink.astype(np.uint8)
    ink[ink < max(NOISE * strongest, min(SIGMAS * _noise(grey), strongest / 2))] = 0  # of pure noise, some stays
    return _placed(_scaled(_cropped(ink)))


def _grey(path: Path) -> Grey:
    """Luminance, 0 to 255; what is transparent becomes black or white, whichever is farther from what is not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                _demand_small(path, picture.size)
                picture.load()
                upright = ImageOps.exif_transpose(picture)
                return _composed(upright) if upright.has_transparency_data else _luminance(upright)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise PipelineError(f"{path}: {in_one_line(error)}: scale it down first") from error
    except UnidentifiedImageError as error:
        raise PipelineError(f"{path}: no PNG or JPEG picture") from error
    except (OSError, SyntaxError, ValueError) as error:
        reason = getattr(error, "strerror", None) or in_one_line(error)
        raise PipelineError(f"{path}: cannot be read: {reason}") from error


def _demand_small(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        raise PipelineError(
            f"{path}: {width:,} by {height:,} pixels, expected at most {MOST_PIXELS:,} in all: scale it down first"
        )


def _luminance(picture: Image.Image) -> Grey:
    if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        return np.asarray(picture, dtype=np.float32) / np.float32(257)
    return np.asarray(picture.convert("L"), dtype=np.float32)


def _composed(picture: Image.Image) -> Grey:
    colours = picture.convert("RGBA")
    opacity = np.asarray(colours.getchannel("A"), dtype=np.float32) / np.float32(255)
    grey = np.asarray(colours.convert("RGB").convert("L"), dtype=np.float32)
    drawn = float((grey * opacity).sum() / max(opacity.sum(), 1))
    ground = np.float32(0 if drawn > 127 else 255)
    composed: Grey = grey * opacity + ground * (1 - opacity)
    return composed


def _ink(grey: Grey) -> Grey:
    """How far each pixel is from the ground, to the side on which more is drawn; the ground is what the edge shows.

    More is drawn where the squares of the distances have the larger sum, to which strokes add more than light does.
    """
    ground = np.median(_edge(grey))
    darker, lighter = np.clip(ground - grey, 0, None), np.clip(grey - ground, 0, None)
    ink: Grey = darker if np.square(darker).sum() > np.square(lighter).sum() else lighter
    return ink


def _noise(grey: Grey) -> float:
    """The standard deviation of the ground, by the median distance from the median, which a stroke there leaves be."""
    edge = _edge(grey)
    return 1.4826 * float(np.median(np.abs(edge - np.median(edge))))


def _edge(grey: Grey) -> Grey:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _is_of_mnist(ink: Grey) -> bool:
    if ink.shape != (IMAGE_SIZE, IMAGE_SIZE) or max(_cropped(ink).shape) > BOX:
        return False
    return max(abs(centre - IMAGE_SIZE / 2) for centre in _centre(ink)) <= FARTHEST


def _cropped(ink: Grey) -> Grey:
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(ink: Grey) -> Grey:
    """Its longer side is `BOX` pixels, and its strongest ink 255, which thin strokes lose in scaling."""
    factor = BOX / max(ink.shape)
    height, width = (max(1, round(side * factor)) for side in ink.shape)
    smaller = Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR)  # the mean of all it covers
    scaled: Grey = np.asarray(smaller)
    return scaled * np.float32(255 / scaled.max())


def _placed(digit: Grey) -> NDArray[np.uint8]:
    height, width = digit.shape
    centre_row, centre_column = _centre(digit)
    top = int(np.clip(round(IMAGE_SIZE / 2 - centre_row), 0, IMAGE_SIZE - height))
    left = int(np.clip(round(IMAGE_SIZE / 2 - centre_column), 0, IMAGE_SIZE - width))
    image = np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
    image[top : top + height, left : left + width] = digit.round()
    return image


def _centre(ink: Grey) -> tuple[float, float]:
    (row,), (column,) = centres_of_mass(ink[None])
    return float(row), float(column)
