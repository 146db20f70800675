"""Strokes of any size and on any ground, a digit or a letter, as MNIST would have them: bright on black, centred."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_pipeline.errors import PipelineError

Grey = NDArray[np.float32]

BOX = 20 / 28  # of an image's shorter side is the longer side of a digit in MNIST, its centre of mass in the middle
FARTHEST = 1.5 / 28  # of the shorter side may the centre of mass be off where a picture counts as one of MNIST's
FAINTEST = 24  # grey levels that ink must differ from its ground by
NOISE = 0.2  # what is fainter than this share of the strongest ink is paper, or what JPEG left around a stroke
SIGMAS = 5  # what is fainter than so many standard deviations of the noise is noise, all but 1 in 3 million


def as_in_mnist(picture: Image.Image, height: int, width: int) -> NDArray[np.uint8]:
    """The strokes of a picture, bright on black, `uint8 [height, width]`.

    They are cropped, scaled into the box and moved. A picture of this size that is so already comes back as it is.
    Where nothing is drawn, a `PipelineError` reports it, without the picture's name.
    """
    grey = _luminance(picture)
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ground = np.median(edge)
    # Ink is on the side of the ground on which the squares are larger: strokes add more to them than light does
    darker, lighter = np.clip(ground - grey, 0, None), np.clip(grey - ground, 0, None)
    ink: Grey = darker if np.square(darker).sum() > np.square(lighter).sum() else lighter
    strongest = float(ink.max())
    if strongest < FAINTEST:
        raise PipelineError(f"nothing is drawn on it: no grey is {FAINTEST} levels from that of its edge")
    side = min(height, width)
    box = max(1, round(BOX * side))
    off_centre = np.abs(_centre_of_mass(ink) - np.array([height, width]) / 2).max()
    if ink.shape == (height, width) and max(_cropped(ink).shape) <= box and off_centre <= FARTHEST * side:
        return ink.astype(np.uint8)
    noise = 1.4826 * float(np.median(np.abs(edge - ground)))  # the standard deviation, which a stroke there leaves be
    ink[ink < max(NOISE * strongest, min(SIGMAS * noise, strongest / 2))] = 0  # of pure noise, some stays
    return _placed(_scaled(_cropped(ink), box), height, width)


def _luminance(picture: Image.Image) -> Grey:
    """0 to 255; what is transparent is black or white, whichever is farther from what is not."""
    if not picture.has_transparency_data:
        return np.asarray(picture if picture.mode == "F" else picture.convert("L"), dtype=np.float32)
    colours = picture.convert("RGBA")
    opacity = np.asarray(colours.getchannel("A"), dtype=np.float32) / np.float32(255)
    grey = np.asarray(colours.convert("RGB").convert("L"), dtype=np.float32)
    drawn = float((grey * opacity).sum() / max(opacity.sum(), 1))
    composed: Grey = grey * opacity + np.float32(0 if drawn > 127 else 255) * (1 - opacity)
    return composed


def _cropped(ink: Grey) -> Grey:
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _centre_of_mass(ink: Grey) -> NDArray[np.float64]:
    """By hand: scipy.ndimage takes longer to import than a picture to be read and classified."""
    sums = (ink.sum(axis, dtype=np.float64) for axis in (1, 0))
    return np.array([along @ np.arange(len(along)) / along.sum() for along in sums])


def _scaled(ink: Grey, box: int) -> Grey:
    """Its longer side is `box` pixels, and its strongest ink 255, which thin strokes lose in scaling."""
    factor = box / max(ink.shape)
    height, width = (max(1, round(side * factor)) for side in ink.shape)
    smaller = Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR)  # the mean of all it covers
    scaled: Grey = np.asarray(smaller)
    return scaled * np.float32(255 / scaled.max())


def _placed(strokes: Grey, height: int, width: int) -> NDArray[np.uint8]:
    image = np.zeros((height, width), dtype=np.uint8)
    top, left = (
        int(np.clip(round(whole / 2 - centre), 0, whole - side))
        for whole, centre, side in zip(image.shape, _centre_of_mass(strokes), strokes.shape, strict=True)
    )
    image[top : top + strokes.shape[0], left : left + strokes.shape[1]] = strokes.round()
    return image
