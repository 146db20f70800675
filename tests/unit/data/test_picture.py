"""Any picture becomes an image of the wanted shape, a digit what MNIST would have made of it, or one clear message."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from conftest import bars
from mnist_pipeline.data.catalog import STROKES
from mnist_pipeline.data.picture import check_settings, prepare
from mnist_pipeline.errors import PipelineError

DARK, LIGHT = 20, 235
RESIZED = {"preparation": "resize", "fit": "contain", "background": "white"}


def as_in_mnist(path: Path) -> NDArray[np.uint8]:
    return prepare(path, STROKES, (28, 28, 1))[..., 0]


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


def scaled(brightest: float) -> NDArray[np.float64]:
    return np.asarray(drawn()) * (brightest / 255)


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
    **{f"{bits} bits": Image.fromarray(scaled(2**bits - 1).astype(np.uint16)) for bits in (10, 12, 16)},
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
    "another format": lambda path: drawn().save(path, format="PPM"),
    "a damaged palette": lambda path: path.write_bytes(b"BM" + bytes(8) + b"\x0e" + bytes(40)),
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


@pytest.mark.parametrize(("height", "width", "longer"), [(28, 28, 20), (56, 70, 40), (16, 12, 9), (1, 1, 1)])
def test_a_digit_fills_the_same_share_of_an_image_of_any_size(
    height: int, width: int, longer: int, tmp_path: Path
) -> None:
    drawn().save(tmp_path / "seven.png")
    image = prepare(tmp_path / "seven.png", STROKES, (height, width, 1))
    assert image.shape == (height, width, 1)
    assert max(box(image[..., 0])) == longer
    Image.fromarray(image[..., 0]).save(tmp_path / "image.png")
    if longer > 1:
        np.testing.assert_array_equal(prepare(tmp_path / "image.png", STROKES, (height, width, 1)), image)


MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def noise(channels: int, height: int = 7, width: int = 9) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (height, width, channels), dtype=np.uint8)


def resized(picture: Image.Image, path: Path, shape: tuple[int, int, int], **changes: str) -> NDArray[np.int64]:
    picture.save(path)
    return prepare(path, RESIZED | changes, shape).astype(int)


@pytest.mark.parametrize("fit", ["contain", "cover", "stretch"])
@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_an_image_of_the_wanted_shape_stays_as_it_is(ending: str, channels: int, fit: str, tmp_path: Path) -> None:
    pixels = noise(channels)
    if channels == 1 and ending == "webp":  # which has no grey; luminance of equal colours is the same
        pixels = np.repeat(pixels, 3, axis=2)
    Image.fromarray(pixels.squeeze()).save(tmp_path / f"image.{ending}", lossless=True, exact=True)
    image = prepare(tmp_path / f"image.{ending}", RESIZED | {"fit": fit}, (7, 9, channels))
    np.testing.assert_array_equal(image, pixels[..., :channels])


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp", "tif", "gif"])
@pytest.mark.parametrize("name", ["of another kind.png", "picture"])
def test_any_format_will_do_whatever_the_name(ending: str, name: str, tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 40), (200, 30, 60))
    picture.save(tmp_path / f"picture.{ending}")
    (tmp_path / f"picture.{ending}").rename(tmp_path / name)
    image = prepare(tmp_path / name, RESIZED, (8, 8, 3)).astype(int)
    assert np.abs(image - [200, 30, 60]).max() <= 3


def test_a_picture_of_several_is_its_first(tmp_path: Path) -> None:
    first, second = (Image.new("L", (9, 9), grey) for grey in (10, 240))
    for name, kind in (("a.gif", "GIF"), ("a.tif", "TIFF"), ("a.jpg", "MPO"), ("a.webp", "WEBP"), ("a.png", "PNG")):
        first.save(tmp_path / name, format=kind, save_all=True, append_images=[second])
        assert prepare(tmp_path / name, RESIZED, (3, 3, 1)).max() < 20, name


RED, BLUE = [255, 0, 0], [0, 0, 255]


def test_the_picture_is_fitted_as_wanted(tmp_path: Path) -> None:
    picture = Image.new("RGB", (80, 40), "red")
    picture.paste("blue", (0, 0, 10, 40))
    path, shape = tmp_path / "wide.png", (20, 20, 3)
    whole = resized(picture, path, shape, background="#00ff00")
    assert (whole[:5] == [0, 255, 0]).all()
    assert (whole[-5:] == [0, 255, 0]).all()
    assert whole[10, 0].tolist() == BLUE
    assert whole[10, -1].tolist() == RED
    filled = resized(picture, path, shape, fit="cover")
    assert (filled == RED).all(), "the sides are cut off"
    stretched = resized(picture, path, shape, fit="stretch")
    assert stretched[:, 0].tolist() == 20 * [BLUE]
    assert stretched[0, -1].tolist() == RED


def test_scaling_down_leaves_no_pattern(tmp_path: Path) -> None:
    squares = (np.indices((300, 300)).sum(0) % 2 * 255).astype(np.uint8)
    image = resized(Image.fromarray(squares), tmp_path / "squares.png", (20, 20, 1))
    assert np.abs(image - 127.5).max() < 3


def test_transparency_shows_the_background_or_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    clear = Image.new("RGBA", (10, 10), (255, 0, 0, 0))
    assert (resized(clear, path, (5, 5, 3), background="blue") == BLUE).all()
    assert (resized(clear, path, (5, 5, 1), background="white") == 255).all()
    assert (resized(clear, path, (5, 5, 4), background="blue")[..., 3] == 0).all()
    assert (resized(clear.convert("LA"), path, (5, 5, 3), background="blue") == BLUE).all()
    palette = Image.new("P", (10, 10), 0)
    palette.info["transparency"] = 0
    assert (resized(palette, path, (5, 5, 3), background="blue") == BLUE).all()
    assert (resized(Image.new("RGB", (10, 10), "red"), path, (5, 5, 4)) == [*RED, 255]).all()


def test_cmyk_and_a_turned_picture_look_as_in_a_viewer(tmp_path: Path) -> None:
    inks = Image.new("CMYK", (10, 10), (0, 255, 255, 0))
    inks.save(tmp_path / "inks.jpg")
    assert np.abs(prepare(tmp_path / "inks.jpg", RESIZED, (5, 5, 3)).astype(int) - RED).max() < 8
    TURNED.save(tmp_path / "turned.png", exif=EXIF)
    upright = resized(drawn(), tmp_path / "upright.png", (31, 43, 1))
    np.testing.assert_array_equal(prepare(tmp_path / "turned.png", RESIZED, (31, 43, 1)), upright)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("brightest", [255, 1023, 4095, 65535])
def test_a_grey_picture_is_scaled_by_its_own_range(brightest: int, kind: type, tmp_path: Path) -> None:
    greys = np.linspace(0, brightest, 56).reshape(7, 8).astype(kind)
    Image.fromarray(greys).save(tmp_path / "deep.tif")
    image = prepare(tmp_path / "deep.tif", RESIZED, (7, 8, 1))[..., 0]
    np.testing.assert_allclose(image, np.linspace(0, 255, 56).reshape(7, 8), atol=1)
    Image.fromarray((greys / brightest).astype(np.float32)).save(tmp_path / "fractions.tif")
    np.testing.assert_allclose(prepare(tmp_path / "fractions.tif", RESIZED, (7, 8, 1))[..., 0], image, atol=1)


def test_a_dark_picture_of_16_bits_stays_dark(tmp_path: Path) -> None:
    Image.fromarray(np.full((5, 5), 9, np.uint16)).save(tmp_path / "dark.png")
    assert prepare(tmp_path / "dark.png", RESIZED, (5, 5, 1)).max() == 9


@pytest.mark.parametrize(
    ("settings", "channels", "key"),
    [(STROKES, 3, "data.image.channels"), (RESIZED | {"background": "nocolour"}, 3, "data.image.background")],
)
def test_settings_that_fit_no_picture_are_named(settings: dict[str, str], channels: int, key: str) -> None:
    with pytest.raises(PipelineError, match=key):
        check_settings(settings, (28, 28, channels))
