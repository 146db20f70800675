"""Photographs of three shapes, as somebody might have them: in colour, of many sizes, some of them broken."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle")


def draw(shape: str, random: np.random.Generator, side: int) -> Image.Image:
    """A shape of any colour, size and place on a darker ground, twice as wide or high as the other side at most."""
    width, height = side, int(side * random.uniform(0.5, 1))
    ground = tuple(int(value) for value in random.integers(0, 110, 3))
    picture = Image.new("RGB", (width, height), ground)
    pen, colour = ImageDraw.Draw(picture), tuple(int(value) for value in random.integers(150, 256, 3))
    radius = min(width, height) * random.uniform(0.25, 0.42)
    x, y = (random.uniform(radius, end - radius) for end in (width, height))
    if shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    else:
        corners = 4 if shape == "square" else 3
        pen.regular_polygon((x, y, radius), corners, rotation=int(random.integers(-15, 16)), fill=colour)
    noise = random.normal(0, 6, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def draw_photos(folder: Path, each: int, seed: int = 0) -> None:
    """Write `each` photographs of every shape into folders by its name, as PNG, JPEG and WebP, and two broken ones."""
    random = np.random.default_rng(seed)
    for shape in SHAPES:
        (folder / shape).mkdir(parents=True)
        for number in range(each):
            ending = (".png", ".jpg", ".webp")[number % 3]
            draw(shape, random, int(random.integers(40, 120))).save(folder / shape / f"{number:04}{ending}")
    (folder / "circle" / "broken.jpg").write_bytes(b"no picture")
    whole = (folder / "square" / "0000.png").read_bytes()
    (folder / "square" / "cut off.png").write_bytes(whole[: len(whole) // 2])
