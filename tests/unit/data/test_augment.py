"""The random distortion is that of its bounds, in their units."""

import pytest
import torch
from torch import Tensor

from mnist_pipeline.data.augment import random_distortion

NOTHING = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "translation": 0.0, "elastic": 0.0}
AXIS = torch.arange(28) - 13.5


def disc(count: int, radius: float = 5) -> Tensor:
    rows, columns = torch.meshgrid(AXIS, AXIS, indexing="ij")
    return (255 * (radius - torch.hypot(rows, columns)).clamp(0, 1)).to(torch.uint8).repeat(count, 1, 1)


def moved(images: Tensor, seed: int = 0, **options) -> Tensor:
    """Images `[N, height, width]` of one channel, distorted."""
    generator = torch.Generator().manual_seed(seed)
    return random_distortion(images.unsqueeze(3), generator, **(NOTHING | options)).squeeze(3)


def test_range_and_shape_stay_and_a_seed_repeats_it() -> None:
    images = torch.randint(0, 256, (64, 28, 28), dtype=torch.uint8)
    bounds = {"rotation": 30.0, "scale": 0.3, "shear": 20.0, "translation": 4.0, "elastic": 2.0}
    result = moved(images, **bounds)
    assert result.shape == images.shape
    assert 0 <= result.min() < result.max() <= 255
    assert torch.equal(result, moved(images, **bounds))
    assert not torch.equal(result, moved(images, seed=1, **bounds))


def test_translation_is_in_pixels_along_both_axes() -> None:
    images = moved(disc(2000), translation=3)
    weights = images / images.sum((1, 2), keepdim=True)
    shift = torch.stack([(weights.sum(2) * AXIS).sum(1), (weights.sum(1) * AXIS).sum(1)], dim=1).abs()
    assert 2.8 < shift.max() <= 3.01
    assert (shift.max(dim=0).values > 2.8).all()


def test_strength_is_the_share_of_each_bound() -> None:
    bounds = {"rotation": 10.0, "scale": 0.2, "shear": 6.0, "translation": 2.0, "elastic": 0.5}
    half = {name: bound / 2 for name, bound in bounds.items()}
    assert torch.equal(moved(disc(20), strength=0.5, **bounds), moved(disc(20), **half))
    assert torch.equal(moved(disc(20), strength=0.0, **bounds), disc(20).float())


def test_rotation_is_in_degrees_about_the_centre() -> None:
    torch.testing.assert_close(moved(disc(50), rotation=180), disc(50).float(), atol=70, rtol=0)
    bar = torch.zeros(500, 28, 28, dtype=torch.uint8)
    bar[:, 13:15, 4:24] = 255
    turned = moved(bar, rotation=10)
    mass = turned.sum((1, 2))
    covariance = (turned * AXIS[:, None] * AXIS).sum((1, 2)) / mass
    spread = (turned * (AXIS**2 - AXIS[:, None] ** 2)).sum((1, 2)) / mass
    angle = torch.rad2deg(0.5 * torch.atan2(2 * covariance, spread)).abs()
    assert 9.5 < angle.max() <= 10.1


def test_elastic_displacements_are_smooth_and_have_that_deviation_in_pixels() -> None:
    elastic = 0.5
    columns = (torch.arange(28.0) * 9).repeat(300, 28, 1)
    ramps = columns, columns.transpose(1, 2)  # from which the displacement is read off
    field = torch.stack([moved(ramp, elastic=elastic) - ramp for ramp in ramps])[:, :, 6:-6, 6:-6] / 9
    assert field.std(dim=(1, 2, 3)).tolist() == pytest.approx([elastic, elastic], rel=0.05)
    assert field.mean().abs() < elastic / 10
    neighbours = torch.corrcoef(torch.stack([field[..., 1:].flatten(), field[..., :-1].flatten()]))[0, 1]
    assert neighbours == pytest.approx(0.985, abs=0.01)  # of a Gaussian over 4 pixels: exp(-1 / (4 · 4²))
    assert torch.corrcoef(torch.stack([field[..., 0].flatten(), field[..., -1].flatten()]))[0, 1] < 0.3
    assert abs(torch.corrcoef(torch.stack([field[0].flatten(), field[1].flatten()]))[0, 1]) < 0.1


def test_a_part_is_what_the_whole_batch_has_there() -> None:
    images = torch.randint(0, 256, (9, 28, 28), dtype=torch.uint8)
    whole, part = (moved(images, part=part, rotation=9.0, elastic=1.0) for part in (slice(None), slice(3, 7)))
    torch.testing.assert_close(part, whole[3:7])


@pytest.mark.parametrize("bounds", [{"rotation": 20.0, "translation": 3.0}, {"elastic": 2.0}, {"horizontal_flip": 0.5}])
def test_the_channels_of_an_image_move_together(bounds: dict[str, float]) -> None:
    images = torch.randint(0, 256, (8, 20, 24, 3), dtype=torch.uint8)
    together = random_distortion(images, torch.Generator().manual_seed(0), **(NOTHING | bounds))
    assert together.shape == images.shape
    for channel in range(3):
        torch.testing.assert_close(together[..., channel], moved(images[..., channel], **bounds))


def test_outside_it_is_black_or_as_at_the_edge() -> None:
    grey = torch.full((20, 28, 28), 100, dtype=torch.uint8)
    assert moved(grey, translation=9, outside="black").min() == 0
    torch.testing.assert_close(moved(grey, translation=9, outside="edge"), grey.float(), atol=0.01, rtol=0)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_some_images_are_mirrored_whatever_the_strength(strength: float) -> None:
    images = torch.randint(0, 256, (400, 6, 6), dtype=torch.uint8)
    changed = moved(images, horizontal_flip=0.25, strength=strength)
    mirrored = torch.tensor(
        [torch.allclose(one, other.float().flip(1), atol=0.1) for one, other in zip(changed, images, strict=True)]
    )
    same = torch.tensor(
        [torch.allclose(one, other.float(), atol=0.1) for one, other in zip(changed, images, strict=True)]
    )
    assert (mirrored | same).all()
    assert mirrored.float().mean() == pytest.approx(0.25, abs=0.07)
