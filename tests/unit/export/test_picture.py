"""Any picture of a digit becomes what MNIST would have made of it, or one clear message."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from conftest import bars
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.serving.picture import as_in_mnist

DARK, LIGHT = 20, 235


def drawn(ink: int = DARK, ground: int = LIGHT, size: tuple[int, int] = (430, 310)) -> Image.Image:
    """A seven with a thick pen, in a corner."""
    picture = Image.new("L", size, ground)
    width, height = size
    points = [(width * x, height * y) for x, y in ((0.08, 0.12), (0.4, 0.12), (0.2, 0.8))]
    ImageDraw.Draw(picture).line(points, fill=ink, width=round(height / 12), joint="curve")
    return picture


def saved(picture: Image.Image, path: Path, **options: object) -> NDArray[np.int64]:
    picture.save(path, **options)
    return as_in_mnist(path).astype(int)


def box(image: NDArray[Any]) -> list[int]:
    return [int(np.ptp(np.flatnonzero(image.any(axis)))) + 1 for axis in (1, 0)]


@pytest.fixture
def expected(tmp_path: Path) -> NDArray[np.int64]:
    return saved(drawn(), tmp_path / "expected.png")


def test_a_digit_is_cropped_scaled_and_centred_as_in_mnist(tmp_path: Path, expected: NDArray[np.int64]) -> None:
    image = as_in_mnist(tmp_path / "expected.png")
    assert (image.shape, image.dtype) == ((28, 28), np.uint8)
    assert max(box(image)) == 20 > min(box(image))
    centre = [expected.sum(axis) @ np.arange(28) / expected.sum() for axis in (1, 0)]
    assert max(abs(place - 14) for place in centre) <= 0.51
    assert (image.max(), image[0, 0]) == (255, 0)
    rows = expected[expected.any(1)].sum(1)
    assert rows[:4].sum() > 2 * rows[-4:].sum()  # a seven, upright


def noisy(ink: int) -> Image.Image:
    noise = np.random.default_rng(1).normal(0, 8, (310, 430))
    return Image.fromarray((np.asarray(drawn(ink)) + noise).clip(0, 255).astype(np.uint8))


PICTURES = {
    "light on dark": drawn(LIGHT, DARK),
    "pale grey on white": drawn(200, 255),
    "dark on mid-grey": drawn(10, 115),
    "light on mid-grey": drawn(245, 140),
    "in colour": Image.merge("RGB", [drawn(), drawn(60), drawn(10)]),
    "of a palette": drawn().convert("P", palette=Image.Palette.ADAPTIVE),
    "of two colours": drawn().convert("1", dither=Image.Dither.NONE),
    "dark on nothing": Image.merge("LA", [Image.new("L", (430, 310), DARK), drawn(255, 0)]),
    "light on nothing": Image.merge("LA", [Image.new("L", (430, 310), LIGHT), drawn(255, 0)]),
    "16 bits": Image.fromarray(np.asarray(drawn()).astype(np.uint16) * 257),
}
TURNED = drawn().transpose(Image.Transpose.ROTATE_90)
EXIF = TURNED.getexif()
EXIF[0x0112] = 6  # to be turned clockwise, which undoes it


@pytest.mark.parametrize("name", PICTURES)
def test_any_mode_and_contrast_will_do(name: str, tmp_path: Path, expected: NDArray[np.int64]) -> None:
    assert np.abs(saved(PICTURES[name], tmp_path / "other.png") - expected).max() <= 4


@pytest.mark.parametrize(
    ("picture", "name", "options"),
    [
        (drawn(), "jpeg.jpg", {"quality": 30}),
        (noisy(DARK), "noise.png", {}),
        (noisy(130), "noise on a pale digit.png", {}),
        (TURNED, "turned by its camera.jpg", {"exif": EXIF, "quality": 95}),
        (drawn(size=(86, 62)), "small.png", {}),
        (drawn(size=(1290, 930)), "large.png", {}),
    ],
)
def test_any_size_turn_noise_and_compression_will_do(
    picture: Image.Image, name: str, options: dict[str, Any], tmp_path: Path, expected: NDArray[np.int64]
) -> None:
    result = saved(picture, tmp_path / name, **options)
    assert np.abs(result - expected).mean() < 8
    assert max(box(result)) == 20
    assert abs(min(box(result)) - min(box(expected))) <= 1


def test_pure_noise_is_a_picture_too(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (28, 28), dtype=np.uint8)
    assert saved(Image.fromarray(noise), tmp_path / "noise.png").any()


@pytest.mark.parametrize("invert", [False, True])
def test_an_image_of_mnist_comes_back_as_it_is(invert: bool, tmp_path: Path) -> None:
    for image in bars(10, seed=5)[0]:
        picture = Image.fromarray(255 - image if invert else image)
        np.testing.assert_array_equal(saved(picture, tmp_path / "digit.png"), image)


def test_a_thin_stroke_keeps_its_brightness(tmp_path: Path) -> None:
    picture = Image.new("L", (400, 400), 255)
    ImageDraw.Draw(picture).line([(200, 50), (200, 350)], fill=0, width=2)
    result = saved(picture, tmp_path / "one.png")
    assert (result.max(), box(result)[0]) == (255, 20)


BAD: dict[str, Callable[[Path], object]] = {
    "blank": lambda path: Image.new("RGB", (50, 50), "white").save(path),
    "large": lambda path: drawn().convert("1").resize((8000, 8000)).save(path),
    "bomb": lambda path: Image.new("1", (20000, 20000)).save(path),
    "text": lambda path: path.write_text("7"),
    "gif": lambda path: drawn().save(path, format="GIF"),
    "cut off": lambda path: (drawn().save(path), os.truncate(path, 300)),
    "missing": lambda path: None,
    "fifo": os.mkfifo,
    "huge": lambda path: (path.touch(), os.truncate(path, 2**40)),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_of_a_digit_ends_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "digit.png"
    BAD[name](path)
    with pytest.raises(PipelineError) as refused:
        as_in_mnist(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)
