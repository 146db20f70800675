"""How a picture of any kind becomes an image, by its settings (see `catalog.picture_settings`), which an ONNX file has.

The worker processes that pack a folder import this module, so it needs numpy and Pillow alone.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from mnist_pipeline.data.strokes import as_in_mnist
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import read_regular

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")  # by content; a JPEG of several pictures, MPO, is among them
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
MOST_BYTES = 2**28
MOST_PIXELS = 50_000_000
Shape = tuple[int, int, int]


def check_settings(settings: Mapping[str, str], shape: Shape) -> None:
    """End in a `PipelineError` where no picture could be prepared so."""
    if settings["preparation"] == "mnist" and shape[2] != 1:
        raise PipelineError(f"data.image.channels = {shape[2]}: preparation mnist makes grey images; use 1, or resize")
    background = settings["background"]
    try:
        ImageColor.getrgb(background)
    except ValueError as error:
        raise PipelineError(f"data.image.background = {background!r}: use a name of CSS or #rrggbb") from error


def prepare(path: Path | str, settings: Mapping[str, str], shape: Shape) -> NDArray[np.uint8]:
    """The picture in a file as an image `uint8 [height, width, channels]` of the wanted shape.

    It is turned as its EXIF data say; of frames, the first is used. With `preparation: mnist` it is `as_in_mnist`.
    With `resize`, a picture of this size and mode comes back as it is; others are scaled, antialiased: the whole of it
    on the background (`fit: contain`), the middle of it (`cover`), or distorted (`stretch`). What is transparent shows
    the background, but for 4 channels, which keep it. ICC profiles are ignored. An error names the file.
    """
    height, width, channels = shape
    try:
        with warnings.catch_warnings(action="ignore"):  # what matters in metadata ends in an error
            picture = _decode(read_regular(path, MOST_BYTES))
            if settings["preparation"] == "mnist":
                return as_in_mnist(picture, height, width)[..., None]
            return np.asarray(_fitted(picture, settings, (width, height), MODES[channels])).reshape(shape)
    except Exception as error:  # what Pillow raises for a damaged file is of any kind
        reason = getattr(error, "strerror", None) or one_line(error)
        if isinstance(error, UnidentifiedImageError):  # which names an object in memory
            reason = f"no picture of {', '.join(FORMATS)}"
        raise PipelineError(f"{path}: {reason}") from error


def prepare_many(
    folder: Path, settings: Mapping[str, str], shape: Shape, files: Sequence[str]
) -> tuple[NDArray[np.uint8], list[str]]:
    """The images `[N, height, width, channels]` of what can be read, and for each file what is wrong with it, or ""."""
    images, problems = [], []
    for path in (f"{folder}/{file}" for file in files):  # to join a Path takes a tenth of the time of a small picture
        try:
            images.append(prepare(path, settings, shape))
            problems.append("")
        except PipelineError as error:
            problems.append(str(error).removeprefix(f"{path}: "))
    return np.array(images, np.uint8).reshape(-1, *shape), problems


def _decode(content: bytes) -> Image.Image:
    """The upright picture; greys of more than 8 bits are of mode F, from 0 to 255."""
    picture = Image.open(io.BytesIO(content), formats=FORMATS)
    width, height = picture.size
    if width * height > MOST_PIXELS:
        expected = f"expected at most {MOST_PIXELS:,} in all: scale it down first"
        raise PipelineError(f"{width:,} by {height:,} pixels, {expected}")
    ImageOps.exif_transpose(picture, in_place=True)
    return Image.fromarray(_of_eight_bits(np.asarray(picture))) if picture.mode[0] in "IF" else picture


def _of_eight_bits(grey: NDArray[np.generic]) -> NDArray[np.float32]:
    """Greys of 16 bits or more, or fractions, from 0 to 255 by the fewest bits that hold the brightest of them.

    Cameras and microscopes leave the upper bits of 16 empty: by 65,535, a picture of 10 or 12 bits is nearly black.
    """
    least_bits = 1 if grey.dtype.kind == "f" else 8  # fractions often go from 0 to 1
    values = np.nan_to_num(grey.astype(np.float32))
    values -= min(float(values.min()), 0)
    bits = max(least_bits, int(np.ceil(values.max())).bit_length())
    return values / np.float32((2**bits - 1) / 255)


def _fitted(picture: Image.Image, settings: Mapping[str, str], size: tuple[int, int], mode: str) -> Image.Image:
    background = settings["background"]
    if picture.mode == "F":
        picture = Image.fromarray(np.asarray(picture).round().astype(np.uint8))
    if mode != "RGBA" and picture.has_transparency_data:
        ground = Image.new("RGBA", picture.size, background)
        picture = Image.alpha_composite(ground, picture.convert("RGBA"))
    if picture.mode != mode:
        picture = picture.convert(mode)
    if picture.size == size:
        return picture
    if settings["fit"] == "contain":
        return ImageOps.pad(picture, size, color=background)
    return ImageOps.fit(picture, size) if settings["fit"] == "cover" else picture.resize(size)
