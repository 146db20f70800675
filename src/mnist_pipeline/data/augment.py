"""Random distortions of a whole batch at once."""

import math

import torch
from torch import Tensor
from torch.nn import functional

SMOOTHNESS = 4  # pixels: standard deviation of the Gaussian that smooths elastic distortions, and between its knots
ALL = slice(None)


def random_distortion(
    images: Tensor,
    generator: torch.Generator,
    part: slice = ALL,
    strength: float = 1.0,
    *,
    rotation: float,
    scale: float,
    shear: float,
    translation: float,
    elastic: float,
    outside: str = "black",
    horizontal_flip: float = 0.0,
) -> Tensor:
    """Distort the images `[N, height, width, channels]` in `part`, each by its own random map, bicubic.

    Outside an image it is `black`, or as at its `edge`. The result has floats of the same range. The draws are
    made for all images, whatever the part. `strength` is the share of each bound that is used. `generator` lives on the
    images' device.

    The affine bounds are symmetric and drawn uniformly: `rotation` and `shear` in degrees, `scale` as a share of each
    side, `translation` in pixels along each axis. `elastic` moves every pixel besides by a smooth random field, of
    which each component has about that standard deviation in pixels (Simard, Steinkraus and Platt, 2003: sigma 4).
    `horizontal_flip` is how probable it is that an image is mirrored, whatever the strength.
    """
    bounds = [strength * bound for bound in (rotation, scale, shear, translation, elastic)]
    if not any(bounds) and not horizontal_flip:
        return images[part].float()
    rotation, scale, shear, translation, elastic = bounds
    count, height, width, _ = images.shape
    draw = torch.rand(6, count, 1, generator=generator, device=images.device)[:, part] * 2 - 1
    angle, slant = draw[0] * math.radians(rotation), torch.tan(draw[1] * math.radians(shear))
    stretch_x, stretch_y = 1 + draw[2] * scale, 1 + draw[3] * scale
    if horizontal_flip:
        flipped = torch.rand(count, 1, generator=generator, device=images.device)[part] < horizontal_flip
        stretch_x = torch.where(flipped, -stretch_x, stretch_x)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    # the centres of the pixels on a side that runs from -1 to 1
    columns, rows = ((torch.arange(side, device=images.device) * 2 + 1) / side - 1 for side in (width, height))
    # affine_grid multiplies many small matrices, which on a CPU takes far longer than these sums `[N, height, width]`
    across = (cosine * stretch_x * columns + draw[4] * 2 * translation / width).unsqueeze(1)
    across = across + ((cosine * slant - sine) * stretch_y * rows).unsqueeze(2)
    down = (sine * stretch_x * columns + draw[5] * 2 * translation / height).unsqueeze(1)
    down = down + ((sine * slant + cosine) * stretch_y * rows).unsqueeze(2)
    if elastic:
        noise = _smooth_noise(count, height, width, generator, part)
        across += noise[0] * (2 * elastic / width)
        down += noise[1] * (2 * elastic / height)
    grid = torch.stack([across, down], dim=3)
    # A bilinear mean of neighbours would blur the strokes, which are sharp in the images that are to be recognised
    planes, padding = images[part].movedim(3, 1).float(), {"black": "zeros", "edge": "border"}[outside]
    moved = functional.grid_sample(planes, grid, mode="bicubic", padding_mode=padding, align_corners=False)
    return moved.clamp_(0, 255).movedim(1, 3)


def _smooth_noise(count: int, height: int, width: int, generator: torch.Generator, part: slice) -> Tensor:
    """Gaussian noise at knots, smoothed to two fields `[2, N, height, width]`: each value has standard deviation 1."""
    over_rows, over_columns = _smoothing(height, generator.device), _smoothing(width, generator.device)
    shape = (2, count, over_rows.shape[1], over_columns.shape[1])
    knots = torch.randn(shape, generator=generator, device=generator.device)[:, part]
    return torch.einsum("rk,ankl,cl->anrc", over_rows, knots, over_columns)


def _smoothing(side: int, device: torch.device) -> Tensor:
    """How much each knot weighs at each pixel `[side, knots]`; the squares of a pixel's weights sum to 1."""
    reach = 2 * SMOOTHNESS  # noise from outside the image has its part at the edge
    knots = torch.arange(-reach, side + reach, SMOOTHNESS, device=device)
    distance = torch.arange(side, device=device).unsqueeze(1) - knots
    return functional.normalize(torch.exp(-0.5 * (distance / SMOOTHNESS) ** 2))
