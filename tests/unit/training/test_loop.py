"""The loop learns, repeats itself, and reports when it cannot go on."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mnist_pipeline.training import loop
from mnist_pipeline.training.devices import make_deterministic
from mnist_pipeline.training.loop import DivergedError, EpochMetrics, ImageSubset, fit, measure
from mnist_pipeline.training.optimization import averaging_decay_at, build_optimizer, learning_rate_at
from recipes import plain


def bright(count: int, seed: int = 0) -> ImageSubset:
    """Two classes: bright on the left, bright on the right."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count,), generator=generator)
    images = torch.randint(0, 100, (count, 28, 28), generator=generator)
    images[:, :, :14] += 100 * (labels == 0)[:, None, None]
    images[:, :, 14:] += 100 * (labels == 1)[:, None, None]
    return ImageSubset(images.to(torch.uint8).unsqueeze(3), labels, torch.arange(count))


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 2)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.layer(images.float().flatten(1) / 255)
        return result


def trained(
    seed: int = 1, precision: torch.dtype = torch.float32, **changes: Any
) -> tuple[list[EpochMetrics], dict[str, Tensor]]:
    make_deterministic(seed)
    model = Linear()
    return list(fit(model, bright(100), bright(50, seed=9), plain(**changes), seed, precision)), model.state_dict()


def test_the_loss_falls_and_each_epoch_has_a_row() -> None:
    history, _ = trained()
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert history[-1]["validation_accuracy"] == 1
    assert [row["learning_rate"] for row in history] == pytest.approx([0.0001, 0.00989, 0.00448], abs=1e-4)


def test_the_same_seed_gives_the_same_bytes_and_another_others() -> None:
    augmentation = {**dict(plain().augmentation), "translation": 2, "elastic": 1}
    first, second, other = (trained(seed=seed, augmentation=augmentation)[1] for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["layer.weight"], other["layer.weight"])


def test_the_validation_numbers_are_those_of_the_averaged_weights_which_remain() -> None:
    make_deterministic(1)
    model, validation = Linear(), bright(50, seed=9)
    *_, last = fit(model, bright(100), validation, plain(ema_decay=0.9), 1)
    assert measure(model, validation) == (last["validation_loss"], last["validation_accuracy"])


def test_the_decay_of_the_average_rises() -> None:
    decays = [averaging_decay_at(step, 0.998) for step in (0, 8, 4489, 10**6)]
    assert decays == pytest.approx([0.1, 0.5, 0.998, 0.998], abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_an_average_of_a_short_training_is_no_worse_than_its_last_weights(seed: int) -> None:
    """200 images and 3 epochs: an average without correction would still be the random weights."""
    accuracies = []
    for decay in (0.998, 0.0):
        make_deterministic(seed)
        settings = plain(batch_size=32, ema_decay=decay)
        *_, last = fit(Linear(), bright(200), bright(200, seed=9), settings, seed)
        accuracies.append(last["validation_accuracy"])
    assert accuracies[0] >= accuracies[1] > 0.9


@pytest.mark.parametrize(("images", "warmup"), [(200, 0.04), (16, 0.99), (5, 0.0)])
def test_one_epoch_works_with_few_images_and_any_warm_up(images: int, warmup: float) -> None:
    (row,) = fit(Linear(), bright(images), bright(20), plain(epochs=1, warmup=warmup), 1)
    assert row["epoch"] == 1


def test_every_image_is_used_once_an_epoch() -> None:
    seen: list[int] = []
    list(fit(Linear(), bright(100), bright(50), plain(), 1, on_progress=seen.append))
    assert seen == ([16] * 6 + [4]) * 3


def test_the_augmented_images_train_and_the_augmentation_falls_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, Any, float]] = []

    def blank(images: Tensor, generator: torch.Generator, part: slice, strength: float, **bounds: float) -> Tensor:
        seen.append((strength, bounds, float(torch.rand(1, generator=generator))))
        return torch.zeros(images[part].shape)

    monkeypatch.setattr(loop, "random_distortion", blank)
    history, _ = trained(augmentation={"rotation": 3, "final_strength": 0.2})
    assert history[-1]["train_loss"] > 0.6
    strengths, bounds, drawn = zip(*seen, strict=True)
    assert strengths == pytest.approx([1 - 0.8 * step / 21 for step in range(21)])
    assert bounds == ({"rotation": 3},) * 21
    assert len(set(drawn)) == 21


def test_label_smoothing_raises_the_floor_of_the_training_loss() -> None:
    plain, smooth = (trained(epochs=20, label_smoothing=share)[0][-1]["train_loss"] for share in (0.0, 0.2))
    assert plain < 0.1 < smooth


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 1e30}, r"epoch 1, step 3\b.*9.*e\+29"),
        ({"learning_rate": 1e38, "weight_decay": 1e30, "batch_size": 100, "ema_decay": 0.0}, r"epoch 1, step 1\b"),
    ],
    ids=["a step", "the last step"],
)
def test_a_loss_that_is_no_number_ends_with_its_step_and_learning_rate(changes: Any, message: str) -> None:
    with pytest.raises(DivergedError, match=message):
        trained(optimizer="sgd", warmup=0.0, **changes)


def test_measure_is_the_mean_over_all_images_whatever_the_batch() -> None:
    model, data = Linear(), bright(2500)
    images, labels = data.images, data.labels
    logits = model(images)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    assert measure(model, data) == pytest.approx((nn.functional.cross_entropy(logits, labels).item(), accuracy))


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("cosine", 0.0, [1.0, 0.853553, 0.5, 0.146447]),
        ("constant", 0.5, [0.01, 0.505, 1.0, 1.0]),
        ("linear", 0.5, [0.01, 0.505, 1.0, 0.5]),
        ("cosine", 0.99, [0.01, 0.34, 0.67, 1.0]),
    ],
)
def test_schedules(schedule: str, warmup: float, expected: list[float]) -> None:
    settings = plain(learning_rate=1.0, schedule=schedule, warmup=warmup)
    assert [learning_rate_at(step, 4, settings) for step in range(4)] == pytest.approx(expected, abs=1e-6)


def test_weight_decay_spares_biases() -> None:
    weights, biases = build_optimizer(Linear(), plain(weight_decay=0.5)).param_groups
    assert [p.ndim for p in weights["params"]] == [2]
    assert (weights["weight_decay"], biases["weight_decay"]) == (0.5, 0)


def test_sgd_is_the_tutorial_s() -> None:
    """Plain SGD at a constant rate takes the steps that the formula gives."""
    model, data = Linear(), bright(16)
    before = model.layer.weight.detach().clone()
    images, labels = data.images, data.labels
    loss = nn.functional.cross_entropy(model(images), labels)
    gradient = torch.autograd.grad(loss, model.layer.weight)[0]
    settings = {"epochs": 1, "optimizer": "sgd", "learning_rate": 0.1, "schedule": "constant", "warmup": 0.0}
    list(fit(model, data, data, plain(**settings, momentum=0.0, weight_decay=0.0, ema_decay=0.0), 1))
    torch.testing.assert_close(model.layer.weight.detach(), before - 0.1 * gradient)


def test_in_bfloat16_the_products_are_rounded_and_the_weights_are_not() -> None:
    exact, rounded = (trained(precision=precision)[1] for precision in (torch.float32, torch.bfloat16))
    for name, weights in rounded.items():
        assert weights.dtype == torch.float32
        assert not torch.equal(weights, exact[name])
        assert not torch.equal(weights, weights.bfloat16().float())
        torch.testing.assert_close(weights, exact[name], rtol=0, atol=0.02)
