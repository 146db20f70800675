"""A fixed set of corruptions at five strengths each: what a photograph, a scanner or another hand does to a digit.

In the manner of MNIST-C (Mu and Gilmer, 2019), at strengths that run from what hardly shows to what a person reads with
effort. The same images are corrupted in the same way each time, so that models can be compared.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

SEED = 1998
CHUNK = 2000
REACH = 8
"""Pixels from the centre that a blur reaches; beyond, a Gaussian of 2.5 pixels is below a hundredth of its peak."""

Corruption = Callable[[Tensor, float, torch.Generator], Tensor]
"""Images `float [N, height, width]`, 0 to 255, under a corruption of some strength."""


def corrupted(images: NDArray[np.uint8]) -> Iterator[tuple[str, int, NDArray[np.uint8]]]:
    """Each corruption at each strength, counted from 1, of raw images `[N, height, width]`."""
    for name, (corrupt, strengths) in CORRUPTIONS.items():
        for level, strength in enumerate(strengths, 1):
            generator = torch.Generator().manual_seed(SEED)
            parts = [corrupt(part.float(), strength, generator) for part in torch.tensor(images).split(CHUNK)]
            yield name, level, torch.cat(parts).round().clamp(0, 255).to(torch.uint8).numpy()


def _shift(images: Tensor, pixels: float, generator: torch.Generator) -> Tensor:
    """Along a random direction."""
    angle = _draw(images, generator) * 2 * math.pi
    _, height, width = images.shape
    moved = _identity(images)
    moved[:, 0, 2], moved[:, 1, 2] = 2 * pixels / width * angle.cos(), 2 * pixels / height * angle.sin()
    return _mapped(images, moved)


def _rotate(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    angle = _sign(images, generator) * math.radians(degrees)
    turned = _identity(images)
    turned[:, 0, 0], turned[:, 0, 1], turned[:, 1, 0], turned[:, 1, 1] = (
        angle.cos(),
        -angle.sin(),
        angle.sin(),
        angle.cos(),
    )
    return _mapped(images, turned)


def _scale(images: Tensor, factor: float, generator: torch.Generator) -> Tensor:
    """Larger or smaller by the factor."""
    scaled = _identity(images)
    scaled[:, :, :2] *= (factor ** _sign(images, generator))[:, None, None]
    return _mapped(images, scaled)


def _shear(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    slanted = _identity(images)
    slanted[:, 0, 1] = _sign(images, generator) * math.tan(math.radians(degrees))
    return _mapped(images, slanted)


def _noise(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Gaussian, in grey levels."""
    return images + deviation * torch.randn(images.shape, generator=generator)


def _blur(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Gaussian, in pixels."""
    kernel = torch.exp(-0.5 * (torch.arange(-REACH, REACH + 1) / deviation) ** 2)
    kernel = kernel / kernel.sum()
    rows = functional.conv2d(images.unsqueeze(1), kernel.view(1, 1, -1, 1), padding=(REACH, 0))
    return functional.conv2d(rows, kernel.view(1, 1, 1, -1), padding=(0, REACH)).squeeze(1)


def _contrast(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Ink that is as much paler."""
    return images * (1 - share)


def _thickness(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Strokes thicker or thinner by the share of a pixel on either side."""
    thicker = functional.max_pool2d(images, 3, stride=1, padding=1)
    thinner = -functional.max_pool2d(-images, 3, stride=1, padding=1)
    other = torch.where(_sign(images, generator)[:, None, None] > 0, thicker, thinner)
    return torch.lerp(images, other, share)


def _occlusion(images: Tensor, side: float, generator: torch.Generator) -> Tensor:
    """A black square somewhere in the middle, where the digit is."""
    _, height, width = images.shape
    inside = []
    for length, drawn in ((height, _draw(images, generator)), (width, _draw(images, generator))):
        start = (length / 4 + drawn * (length / 2 - side)).round()[:, None]
        place = torch.arange(length)
        inside.append((place >= start) & (place < start + side))
    return images.masked_fill(inside[0].unsqueeze(2) & inside[1].unsqueeze(1), 0)


def _inversion(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Towards dark ink on a light ground; a share of 1 is all the way."""
    return torch.lerp(images, 255 - images, share)


CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, ...]]] = {
    "shift": (_shift, (1, 2, 3, 4, 5)),
    "rotation": (_rotate, (10, 20, 30, 40, 50)),
    "scale": (_scale, (1.1, 1.2, 1.3, 1.4, 1.5)),
    "shear": (_shear, (10, 20, 30, 35, 40)),
    "noise": (_noise, (20, 40, 60, 80, 100)),
    "blur": (_blur, (0.5, 1, 1.5, 2, 2.5)),
    "contrast": (_contrast, (0.2, 0.4, 0.6, 0.8, 0.9)),
    "thickness": (_thickness, (0.15, 0.3, 0.45, 0.6, 0.75)),
    "occlusion": (_occlusion, (4, 6, 8, 10, 12)),
    "inversion": (_inversion, (0.1, 0.2, 0.3, 0.4, 1)),
}
"""Each with its five strengths: pixels, degrees, factors, grey levels or shares, as the functions say."""


def _draw(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(len(images), generator=generator)


def _sign(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, (len(images),), generator=generator) * 2.0 - 1


def _identity(images: Tensor) -> Tensor:
    return torch.eye(2, 3).repeat(len(images), 1, 1)


def _mapped(images: Tensor, maps: Tensor) -> Tensor:
    grid = functional.affine_grid(maps, [len(images), 1, *images.shape[1:]], align_corners=False)
    moved = functional.grid_sample(images.unsqueeze(1), grid, mode="bicubic", align_corners=False)
    return moved.squeeze(1).clamp(0, 255)
