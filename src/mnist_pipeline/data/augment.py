"""Random affine maps of a whole batch at once."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def random_affine(
    images: Tensor, *, rotation: float, scale: float, shear: float, translation: float, generator: torch.Generator
) -> Tensor:
    """Each image `[N, height, width]` under its own random map, bilinear, black outside; floats of the same range.

    Every bound is symmetric and drawn uniformly: `rotation` and `shear` in degrees, `scale` as a share of each side,
    `translation` in pixels along each axis. The draws come from `generator`, which lives on the images' device.
    """
    count, height, width = images.shape
    draw = torch.rand(6, count, generator=generator, device=images.device) * 2 - 1
    angle, slant = draw[0] * math.radians(rotation), torch.tan(draw[1] * math.radians(shear))
    stretch_x, stretch_y = 1 + draw[2] * scale, 1 + draw[3] * scale
    cosine, sine = torch.cos(angle), torch.sin(angle)
    across = torch.stack([cosine * stretch_x, (cosine * slant - sine) * stretch_y, draw[4] * 2 * translation / width])
    down = torch.stack([sine * stretch_x, (sine * slant + cosine) * stretch_y, draw[5] * 2 * translation / height])
    maps = torch.stack([across, down]).permute(2, 0, 1)  # [N, 2, 3]
    grid = functional.affine_grid(maps, [count, 1, height, width], align_corners=False)
    moved = functional.grid_sample(images.unsqueeze(1).float(), grid, align_corners=False)
    return moved.squeeze(1)
