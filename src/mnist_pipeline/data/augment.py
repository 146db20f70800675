"""Random affine maps of a whole batch at once."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def random_affine(
    images: Tensor, generator: torch.Generator, *, rotation: float, scale: float, shear: float, translation: float
) -> Tensor:
    """Each image `[N, height, width]` under its own random map, bilinear, black outside; floats of the same range.

    Every bound is symmetric and drawn uniformly: `rotation` and `shear` in degrees, `scale` as a share of each side,
    `translation` in pixels along each axis. The draws come from `generator`, which lives on the images' device.
    """
    count, height, width = images.shape
    draw = torch.rand(6, count, 1, generator=generator, device=images.device) * 2 - 1
    angle, slant = draw[0] * math.radians(rotation), torch.tan(draw[1] * math.radians(shear))
    stretch_x, stretch_y = 1 + draw[2] * scale, 1 + draw[3] * scale
    cosine, sine = torch.cos(angle), torch.sin(angle)
    columns, rows = _centres(width, images.device), _centres(height, images.device)
    # affine_grid multiplies many small matrices, which on a CPU takes far longer than these sums
    across = _plane(
        cosine * stretch_x * columns + draw[4] * 2 * translation / width, (cosine * slant - sine) * stretch_y * rows
    )
    down = _plane(
        sine * stretch_x * columns + draw[5] * 2 * translation / height, (sine * slant + cosine) * stretch_y * rows
    )
    grid = torch.stack([across, down], dim=3)
    moved = functional.grid_sample(images.unsqueeze(1).float(), grid, align_corners=False)
    return moved.squeeze(1)


def _centres(side: int, device: torch.device) -> Tensor:
    """Where the centres of the pixels are on a side that runs from -1 to 1."""
    return (torch.arange(side, device=device) * 2 + 1) / side - 1


def _plane(along_columns: Tensor, along_rows: Tensor) -> Tensor:
    """The sum `[N, height, width]` of what changes from column to column `[N, width]` and from row to row."""
    return along_columns.unsqueeze(1) + along_rows.unsqueeze(2)
