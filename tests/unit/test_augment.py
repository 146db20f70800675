"""The random affine map moves what it says, by no more than it says."""

import pytest
import torch
from torch import Tensor

from mnist_pipeline.data.augment import random_distortion

NOTHING = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "translation": 0.0, "elastic": 0.0}


def disc(count: int, radius: float = 5) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(28) - 13.5, torch.arange(28) - 13.5, indexing="ij")
    return (255 * (radius - torch.hypot(rows, columns)).clamp(0, 1)).to(torch.uint8).repeat(count, 1, 1)


def centres(images: Tensor) -> Tensor:
    weights = images / images.sum((1, 2), keepdim=True)
    axis = torch.arange(28.0) - 13.5
    return torch.stack([(weights.sum(2) * axis).sum(1), (weights.sum(1) * axis).sum(1)], dim=1)


def moved(images: Tensor, seed: int = 0, **bounds: float) -> Tensor:
    return random_distortion(images, generator=torch.Generator().manual_seed(seed), **(NOTHING | bounds))


def test_zero_bounds_change_nothing() -> None:
    torch.testing.assert_close(moved(disc(3)), disc(3).float(), atol=1e-3, rtol=0)


def test_range_and_shape_stay() -> None:
    images = torch.randint(0, 256, (64, 28, 28), dtype=torch.uint8)
    result = moved(images, rotation=30, scale=0.3, shear=20, translation=4, elastic=2)
    assert result.shape == images.shape
    assert result.min() >= 0
    assert result.max() <= 255


def test_translation_is_in_pixels_along_both_axes() -> None:
    shift = centres(moved(disc(2000), translation=3)).abs()
    assert 2.8 < shift.max() <= 3.01
    assert (shift.max(dim=0).values > 2.8).all()


def test_strength_is_the_share_of_each_bound() -> None:
    bounds = {"rotation": 10.0, "scale": 0.2, "shear": 6.0, "translation": 2.0, "elastic": 0.5}
    half = {name: bound / 2 for name, bound in bounds.items()}
    assert torch.equal(moved(disc(20), strength=0.5, **bounds), moved(disc(20), **half))
    assert torch.equal(moved(disc(20), strength=0.0, **bounds), disc(20).float())


def test_a_thin_stroke_that_falls_between_pixels_stays_sharp() -> None:
    line = torch.zeros(500, 28, 28, dtype=torch.uint8)
    line[:, 10, 4:24] = 255
    brightest = moved(line, translation=0.5).amax((1, 2))
    assert brightest.min() > 145  # the mean of two neighbours would be 128


def test_rotation_keeps_a_centred_disc_where_it_is() -> None:
    torch.testing.assert_close(moved(disc(50), rotation=180), disc(50).float(), atol=70, rtol=0)


def test_rotation_is_in_degrees() -> None:
    bar = torch.zeros(500, 28, 28, dtype=torch.uint8)
    bar[:, 13:15, 4:24] = 255
    axis = torch.arange(28.0) - 13.5
    turned = moved(bar, rotation=10)
    mass = turned.sum((1, 2))
    covariance = (turned * axis[:, None] * axis).sum((1, 2)) / mass
    spread = (turned * (axis**2 - axis[:, None] ** 2)).sum((1, 2)) / mass
    angle = torch.rad2deg(0.5 * torch.atan2(2 * covariance, spread)).abs()
    assert 9.5 < angle.max() <= 10.1


def test_scale_is_a_share_of_each_side() -> None:
    area = moved(disc(2000), scale=0.2).sum((1, 2)) / disc(1).sum()
    assert area.max() == pytest.approx(1 / 0.8**2, rel=0.05)
    assert area.min() == pytest.approx(1 / 1.2**2, rel=0.05)


def test_each_image_has_its_own_map_and_a_seed_repeats_it() -> None:
    first = moved(disc(2), translation=3)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, moved(disc(2), translation=3))
    assert not torch.equal(first, moved(disc(2), seed=1, translation=3))


def displacement(elastic: float) -> Tensor:
    """How far each pixel of 300 images is moved along columns and rows, `[2, 300, 28, 28]`, read off two ramps."""
    columns = (torch.arange(28.0) * 9).repeat(300, 28, 1)
    ramps = columns, columns.transpose(1, 2)
    return torch.stack([moved(ramp, elastic=elastic) - ramp for ramp in ramps]) / 9


@pytest.mark.parametrize("elastic", [0.5, 1.0])
def test_elastic_is_the_standard_deviation_of_the_displacement_in_pixels(elastic: float) -> None:
    field = displacement(elastic)[:, :, 6:-6, 6:-6]  # a ramp ends at the border
    assert field.std(dim=(1, 2, 3)).tolist() == pytest.approx([elastic, elastic], rel=0.05)
    assert field.mean().abs() < elastic / 10


def test_elastic_distortions_are_smooth_and_differ_between_axes_and_images() -> None:
    field = displacement(1.0)[:, :, 6:-6, 6:-6]
    neighbours = torch.corrcoef(torch.stack([field[..., 1:].flatten(), field[..., :-1].flatten()]))[0, 1]
    far = torch.corrcoef(torch.stack([field[..., 0].flatten(), field[..., -1].flatten()]))[0, 1]
    assert neighbours == pytest.approx(0.985, abs=0.01)  # of a Gaussian over 4 pixels: exp(-1 / (4 · 4²))
    assert far < 0.3
    axes = torch.corrcoef(torch.stack([field[0].flatten(), field[1].flatten()]))[0, 1]
    assert abs(axes) < 0.1


@pytest.mark.parametrize("elastic", [0.0, 1.0])
def test_a_part_is_what_the_whole_batch_has_there(elastic: float) -> None:
    images = torch.randint(0, 256, (9, 28, 28), dtype=torch.uint8)
    bounds = NOTHING | {"rotation": 9.0, "elastic": elastic}
    whole, part = (
        random_distortion(images, torch.Generator().manual_seed(0), part, **bounds)
        for part in (slice(None), slice(3, 7))
    )
    torch.testing.assert_close(part, whole[3:7])
