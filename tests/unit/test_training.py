"""The loop learns, repeats itself, and says when it cannot go on."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mnist_pipeline.data.augment import random_distortion
from mnist_pipeline.devices import make_deterministic
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import load_params
from mnist_pipeline.stages.train import _recipe
from mnist_pipeline.training.loop import Examples, Recipe, fit, measure
from mnist_pipeline.training.optimization import build_optimizer, build_schedule
from mnist_pipeline.training.state import Epoch
from recipes import PLAIN

ROOT = Path(__file__).parents[2]


def examples(count: int, seed: int = 0) -> Examples:
    """Two classes: bright on the left, bright on the right."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count,), generator=generator)
    images = torch.randint(0, 100, (count, 28, 28), generator=generator)
    images[:, :, :14] += 100 * (labels == 0)[:, None, None]
    images[:, :, 14:] += 100 * (labels == 1)[:, None, None]
    return Examples(images.to(torch.uint8), labels)


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 2)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.layer(images.float().flatten(1) / 255)
        return result


@pytest.fixture(autouse=True)
def global_state_restored() -> Iterator[None]:
    yield
    torch.set_deterministic_debug_mode("default")


def trained(recipe: Recipe, seed: int = 1) -> tuple[list[Epoch], dict[str, Tensor]]:
    make_deterministic(seed)
    model = Linear()
    epochs = list(fit(model, examples(100), examples(50, seed=9), recipe, seed, lambda count: None))
    return epochs, model.state_dict()


def test_the_loss_falls_and_every_epoch_is_told_once() -> None:
    epochs, _ = trained(PLAIN)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3]
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert epochs[-1].validation_accuracy == 1


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = (trained(PLAIN)[1] for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_seed_gives_other_weights() -> None:
    first, second = (trained(PLAIN, seed)[1] for seed in (1, 2))
    assert not torch.equal(first["layer.weight"], second["layer.weight"])


def test_the_averaged_weights_are_what_remains() -> None:
    """Over one epoch of two steps, the average is decay times the first state plus the rest of the second."""
    one = replace(PLAIN, epochs=1, batch_size=50, warmup_epochs=0, schedule="constant")
    last = trained(replace(one, ema_decay=0.0))[1]["layer.weight"]
    half = trained(replace(one, ema_decay=0.5))[1]["layer.weight"]
    most = trained(replace(one, ema_decay=0.75))[1]["layer.weight"]
    first = 2 * half - last
    torch.testing.assert_close(most, 0.75 * first + 0.25 * last)


def test_every_image_is_seen_once_an_epoch() -> None:
    seen: list[int] = []
    list(fit(Linear(), examples(100), examples(50), PLAIN, 1, seen.append))
    assert sum(seen) == 300
    assert seen[:7] == [16] * 6 + [4]


def test_the_augmented_images_are_what_trains() -> None:
    blank = replace(PLAIN, augment=lambda images, generator, part, strength: torch.zeros(images[part].shape))
    assert trained(blank)[0][-1].train_loss > 0.6


@pytest.mark.parametrize("final", [0.2, 1.0])
def test_the_augmentation_falls_evenly_to_its_final_strength(final: float) -> None:
    seen: list[float] = []

    def augment(images: Tensor, generator: torch.Generator, part: slice, strength: float) -> Tensor:
        seen.append(strength)
        return images[part].float()

    trained(replace(PLAIN, augment=augment, final_strength=final))
    steps = len(seen)
    assert seen == pytest.approx([1 - (1 - final) * step / steps for step in range(steps)])


def test_the_recipe_of_the_stage_is_that_of_the_parameters() -> None:
    settings = load_params(ROOT / "params.yaml").training("lenet")
    made = _recipe(settings, torch.device("cpu"))
    assert made.final_strength == settings.augmentation.final_strength < 1
    images = torch.randint(0, 256, (4, 28, 28), dtype=torch.uint8)
    bounds = settings.augmentation.model_dump(exclude={"final_strength"})
    for strength in (1.0, 0.3):
        generator, same = (torch.Generator().manual_seed(2) for _ in range(2))
        expected = random_distortion(images, same, strength=strength, **bounds)
        assert torch.equal(made.augment(images, generator, slice(None), strength), expected)


def test_label_smoothing_raises_the_floor_of_the_training_loss() -> None:
    plain, smooth = (trained(replace(PLAIN, epochs=20, label_smoothing=share))[0][-1] for share in (0.0, 0.2))
    assert plain.train_loss < 0.1 < smooth.train_loss


def test_a_loss_that_is_no_number_ends_with_advice() -> None:
    with pytest.raises(PipelineError, match=r"became nan in epoch 1, step 3, at learning rate 9.*e\+29: lower"):
        trained(replace(PLAIN, optimizer="sgd", learning_rate=1e30, warmup_epochs=0))


def test_measure_is_the_mean_over_all_examples_whatever_the_batch() -> None:
    model, data = Linear(), examples(2500)
    with torch.no_grad():
        logits = model(data.images)
    loss, accuracy = measure(model, data)
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, data.labels).item(), rel=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == data.labels).float().mean().item())


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0, [1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", 0, [1.0, 0.75, 0.5, 0.25, 0.0]),
        ("cosine", 0, [1.0, 0.853553, 0.5, 0.146447, 0.0]),
        ("constant", 2, [0.01, 0.505, 1.0, 1.0, 1.0]),
        ("linear", 2, [0.01, 0.505, 1.0, 0.5, 0.0]),
    ],
)
def test_schedules(schedule, warmup: int, expected: list[float]) -> None:
    optimizer = build_optimizer(Linear(), "sgd", 1.0, 0.9, 0.0)
    plan = build_schedule(optimizer, schedule, warmup, 4)
    rates = []
    for _ in range(5):
        rates.append(plan.get_last_lr()[0])
        optimizer.step()
        plan.step()
    assert rates == pytest.approx(expected, abs=1e-6)


def test_weight_decay_spares_biases() -> None:
    decays = {
        tuple(p.ndim for p in group["params"]): group["weight_decay"]
        for group in build_optimizer(Linear(), "adamw", 0.1, 0.9, 0.5).param_groups
    }
    assert decays == {(2,): 0.5, (1,): 0.0}


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_momentum_acts_on_both_optimisers(name: str) -> None:
    _, low = trained(replace(PLAIN, optimizer=name, momentum=0.0))
    _, high = trained(replace(PLAIN, optimizer=name, momentum=0.9))
    assert not torch.equal(low["layer.weight"], high["layer.weight"])


def test_sgd_is_the_tutorial_s() -> None:
    """Plain SGD at a constant rate takes the steps that the formula gives."""
    model, data = Linear(), examples(16)
    before = model.layer.weight.detach().clone()
    loss = nn.functional.cross_entropy(model(data.images), data.labels)
    gradient = torch.autograd.grad(loss, model.layer.weight)[0]
    plain = replace(
        PLAIN,
        epochs=1,
        optimizer="sgd",
        learning_rate=0.1,
        momentum=0.0,
        weight_decay=0.0,
        schedule="constant",
        warmup_epochs=0,
    )
    list(fit(model, data, data, plain, 1, lambda count: None))
    torch.testing.assert_close(model.layer.weight.detach(), before - 0.1 * gradient)


def test_augmentation_draws_from_the_seed_alone() -> None:
    draws: list[Tensor] = []

    def augment(images: Tensor, generator: torch.Generator, part: slice, strength: float, into: list[Tensor]) -> Tensor:
        into.append(torch.rand(1, generator=generator))
        return images[part].float()

    for _ in range(2):
        list(
            fit(
                Linear(),
                examples(32),
                examples(8),
                replace(PLAIN, augment=partial(augment, into=draws)),
                5,
                lambda count: None,
            )
        )
    assert draws[: len(draws) // 2] == draws[len(draws) // 2 :]


def test_in_bfloat16_the_products_are_rounded_and_the_weights_are_not() -> None:
    exact, rounded = (trained(replace(PLAIN, precision=name))[1] for name in (torch.float32, torch.bfloat16))
    for name, weights in rounded.items():
        assert weights.dtype == torch.float32
        assert not torch.equal(weights, exact[name])
        assert not torch.equal(weights, weights.bfloat16().float())
        torch.testing.assert_close(weights, exact[name], rtol=0, atol=0.02)
