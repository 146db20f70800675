"""Any picture of a digit becomes what MNIST would have made of it, or one clear message."""

from collections.abc import Callable
from pathlib import Path

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


def saved(picture: Image.Image, path: Path, **options: object) -> NDArray[np.uint8]:
    picture.save(path, **options)
    return as_in_mnist(path)


def centre(image: NDArray[np.uint8]) -> tuple[float, float]:
    ink, places = image.astype(float), np.arange(28)
    return ink.sum(1) @ places / ink.sum(), ink.sum(0) @ places / ink.sum()


def box(image: NDArray[np.uint8]) -> tuple[int, int]:
    rows, columns = (np.flatnonzero(image.any(axis)) for axis in (1, 0))
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


@pytest.fixture
def expected(tmp_path: Path) -> NDArray[np.uint8]:
    return saved(drawn(), tmp_path / "expected.png")


def test_a_digit_is_cropped_scaled_and_centred_as_in_mnist(expected: NDArray[np.uint8]) -> None:
    assert expected.shape == (28, 28)
    assert expected.dtype == np.uint8
    assert max(box(expected)) == 20
    assert min(box(expected)) < 20
    assert max(abs(place - 14) for place in centre(expected)) <= 0.51
    assert expected.max() == 255
    assert expected[0, 0] == 0
    rows = expected[expected.any(1)].sum(1)
    assert rows[:4].sum() > 2 * rows[-4:].sum()  # a seven, upright


@pytest.mark.parametrize("size", [(43, 31), (86, 62), (1290, 930), (310, 430)])
def test_the_size_of_the_picture_does_not_matter(
    size: tuple[int, int], tmp_path: Path, expected: NDArray[np.uint8]
) -> None:
    result = saved(drawn(size=size), tmp_path / "other.png")
    assert max(box(result)) == 20
    if size[0] > size[1]:
        assert np.abs(result.astype(int) - expected).mean() < 12


def with_alpha(ink: int) -> Image.Image:
    return Image.merge("LA", [Image.new("L", (430, 310), ink), drawn(255, 0)])


def turned_by_exif() -> tuple[Image.Image, Image.Exif]:
    picture = drawn().transpose(Image.Transpose.ROTATE_90)
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned clockwise, which undoes it
    return picture, exif


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "light on dark": lambda: drawn(LIGHT, DARK),
    "pale grey on white": lambda: drawn(200, 255),
    "dark on mid-grey": lambda: drawn(10, 115),
    "light on mid-grey": lambda: drawn(245, 140),
    "in colour": lambda: Image.merge("RGB", [drawn(), drawn(60), drawn(10)]),
    "of a palette": lambda: drawn().convert("P", palette=Image.Palette.ADAPTIVE),
    "of two colours": lambda: drawn().convert("1", dither=Image.Dither.NONE),
    "dark on nothing": lambda: with_alpha(DARK),
    "light on nothing": lambda: with_alpha(LIGHT),
    "16 bits": lambda: Image.fromarray(np.asarray(drawn()).astype(np.uint16) * 257),
}


@pytest.mark.parametrize("name", PICTURES)
def test_how_the_digit_stands_out_does_not_matter(name: str, tmp_path: Path, expected: NDArray[np.uint8]) -> None:
    result = saved(PICTURES[name](), tmp_path / "other.png")
    assert np.abs(result.astype(int) - expected).max() <= 4


def test_jpeg_leaves_no_specks(tmp_path: Path, expected: NDArray[np.uint8]) -> None:
    result = saved(drawn(), tmp_path / "digit.jpg", quality=30)
    assert np.abs(result.astype(int) - expected).mean() < 8
    assert abs(min(box(result)) - min(box(expected))) <= 1


@pytest.mark.parametrize("ink", [DARK, 130])
def test_noise_of_the_paper_leaves_no_specks(ink: int, tmp_path: Path, expected: NDArray[np.uint8]) -> None:
    noise = np.random.default_rng(1).normal(0, 8, (310, 430))
    picture = Image.fromarray((np.asarray(drawn(ink)) + noise).clip(0, 255).astype(np.uint8))
    result = saved(picture, tmp_path / "digit.png")
    assert np.abs(result.astype(int) - expected).mean() < 8
    assert abs(min(box(result)) - min(box(expected))) <= 1


def test_pure_noise_is_a_picture_too(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (28, 28), dtype=np.uint8)
    assert saved(Image.fromarray(noise), tmp_path / "noise.png").any()


def test_a_photograph_is_turned_as_its_camera_says(tmp_path: Path, expected: NDArray[np.uint8]) -> None:
    picture, exif = turned_by_exif()
    result = saved(picture, tmp_path / "digit.jpg", exif=exif, quality=95)
    assert np.abs(result.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("invert", [False, True])
def test_an_image_of_mnist_comes_back_as_it_is(invert: bool, tmp_path: Path) -> None:
    images, _ = bars(10, seed=5)
    for image in images:
        picture = Image.fromarray(255 - image if invert else image)
        assert np.array_equal(saved(picture, tmp_path / "digit.png"), image)


def test_a_thin_stroke_keeps_its_brightness(tmp_path: Path) -> None:
    picture = Image.new("L", (400, 400), 255)
    ImageDraw.Draw(picture).line([(200, 50), (200, 350)], fill=0, width=2)
    result = saved(picture, tmp_path / "one.png")
    assert result.max() == 255
    assert box(result)[0] == 20


def damaged(path: Path) -> None:
    drawn().save(path)
    path.write_bytes(path.read_bytes()[:300])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "blank": (lambda path: Image.new("RGB", (50, 50), "white").save(path), "nothing is drawn on it"),
    "large": (lambda path: Image.new("1", (8000, 8000)).save(path), "8,000 by 8,000 pixels, expected at most"),
    "bomb": (lambda path: Image.new("1", (20000, 20000)).save(path), "decompression bomb.*: scale it down first"),
    "text": (lambda path: path.write_text("7"), "no PNG or JPEG picture"),
    "empty": (lambda path: path.write_bytes(b""), "no PNG or JPEG picture"),
    "gif": (lambda path: drawn().save(path, format="GIF"), "no PNG or JPEG picture"),
    "truncated": (damaged, "cannot be read: .*truncated"),
    "missing": (lambda path: None, "cannot be read: No such file"),
    "folder": (lambda path: path.mkdir(), "cannot be read: Is a directory"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_of_a_digit_is_told(name: str, tmp_path: Path) -> None:
    make, told = BAD[name]
    path = tmp_path / f"{name}.png"
    make(path)
    with pytest.raises(PipelineError, match=f"{name}.png: .*{told}"):
        as_in_mnist(path)
