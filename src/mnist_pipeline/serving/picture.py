"""Pictures of digits, of any size and on any ground, as MNIST would have them."""

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import read_regular

Grey = NDArray[np.float32]

MOST_BYTES = 2**28
MOST_PIXELS = 50_000_000
SIDE = 28
BOX = 20  # pixels of the longer side of a digit in MNIST, whose centre of mass stands at the pixel (14, 14)
FARTHEST = 1.5  # pixels from there at which a picture of MNIST's size still counts as one of MNIST's
FAINTEST = 24  # grey levels that ink must differ from its ground by
NOISE = 0.2  # what is fainter than this share of the strongest ink is paper, or what JPEG left around a stroke
SIGMAS = 5  # what is fainter than so many standard deviations of the noise is noise, all but 1 in 3 million


def as_in_mnist(path: Path) -> NDArray[np.uint8]:
    """The digit in a PNG or JPEG file, bright on black, `uint8 [28, 28]`.

    It is cropped, scaled so that its longer side is 20 pixels, and its centre of mass put at (14, 14). A picture that
    is so already comes back as it is. Where nothing can be read or is drawn, a `PipelineError` reports it.
    """
    grey = _grey(path)
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ground = np.median(edge)
    # Ink is on the side of the ground on which the squares are larger: strokes add more to them than light does
    darker, lighter = np.clip(ground - grey, 0, None), np.clip(grey - ground, 0, None)
    ink: Grey = darker if np.square(darker).sum() > np.square(lighter).sum() else lighter
    strongest = float(ink.max())
    if strongest < FAINTEST:
        raise PipelineError(f"{path}: nothing is drawn on it: no grey is {FAINTEST} levels from that of its edge")
    off_centre = max(abs(place - SIDE / 2) for place in _centre_of_mass(ink))
    if ink.shape == (SIDE, SIDE) and max(_cropped(ink).shape) <= BOX and off_centre <= FARTHEST:
        return ink.astype(np.uint8)
    noise = 1.4826 * float(np.median(np.abs(edge - ground)))  # the standard deviation, which a stroke there leaves be
    ink[ink < max(NOISE * strongest, min(SIGMAS * noise, strongest / 2))] = 0  # of pure noise, some stays
    return _placed(_scaled(_cropped(ink)))


def _grey(path: Path) -> Grey:
    """Luminance, 0 to 255."""
    try:
        content = read_regular(path, MOST_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
                width, height = picture.size
                if width * height > MOST_PIXELS:
                    expected = f"expected at most {MOST_PIXELS:,} in all: scale it down first"
                    raise PipelineError(f"{path}: {width:,} by {height:,} pixels, {expected}")
                upright = ImageOps.exif_transpose(picture)
                if upright.has_transparency_data:
                    return _composed(upright)
                if upright.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
                    return np.asarray(upright, dtype=np.float32) / np.float32(257)
                return np.asarray(upright.convert("L"), dtype=np.float32)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise PipelineError(f"{path}: {one_line(error)}: scale it down first") from error
    except UnidentifiedImageError as error:
        raise PipelineError(f"{path}: no PNG or JPEG picture") from error
    except (OSError, SyntaxError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise PipelineError(f"{path}: cannot be read: {reason}") from error


def _composed(picture: Image.Image) -> Grey:
    """Luminance where what is transparent is black or white, whichever is farther from what is not."""
    colours = picture.convert("RGBA")
    opacity = np.asarray(colours.getchannel("A"), dtype=np.float32) / np.float32(255)
    grey = np.asarray(colours.convert("RGB").convert("L"), dtype=np.float32)
    drawn = float((grey * opacity).sum() / max(opacity.sum(), 1))
    composed: Grey = grey * opacity + np.float32(0 if drawn > 127 else 255) * (1 - opacity)
    return composed


def _cropped(ink: Grey) -> Grey:
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _centre_of_mass(ink: Grey) -> list[float]:
    """By hand: scipy.ndimage takes longer to import than a picture to be read and classified."""
    sums = (ink.sum(axis, dtype=np.float64) for axis in (1, 0))
    return [float(along @ np.arange(len(along)) / along.sum()) for along in sums]


def _scaled(ink: Grey) -> Grey:
    """Its longer side is `BOX` pixels, and its strongest ink 255, which thin strokes lose in scaling."""
    factor = BOX / max(ink.shape)
    height, width = (max(1, round(side * factor)) for side in ink.shape)
    smaller = Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR)  # the mean of all it covers
    scaled: Grey = np.asarray(smaller)
    return scaled * np.float32(255 / scaled.max())


def _placed(digit: Grey) -> NDArray[np.uint8]:
    image = np.zeros((SIDE, SIDE), dtype=np.uint8)
    top, left = (
        int(np.clip(round(SIDE / 2 - centre), 0, SIDE - side))
        for centre, side in zip(_centre_of_mass(digit), digit.shape, strict=True)
    )
    image[top : top + digit.shape[0], left : left + digit.shape[1]] = digit.round()
    return image
