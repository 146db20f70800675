"""The training loop: it knows tensors, an optimiser and a schedule, and nothing of the model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.training.optimization import Schedule, build_optimizer, build_schedule

EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class Examples:
    """Raw images `uint8 [N, 28, 28]` and labels `int64 [N]`, held on the device that trains."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Recipe:
    """How to train; `docs/parameters.md` describes the values under the same names."""

    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: Schedule
    warmup_epochs: int
    label_smoothing: float
    ema_decay: float
    augment: Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Epoch:
    """One row of the history; losses are mean cross-entropies, accuracies shares of 1.

    The training values are of the weights as they moved, on augmented images;
    the validation values are of the averaged weights, on clean ones.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


def fit(
    model: nn.Module,
    train: Examples,
    validation: Examples,
    recipe: Recipe,
    seed: int,
    advance: Callable[[int], None],
) -> Iterator[Epoch]:
    """Trains `model` in place and yields each epoch's numbers; after the last it holds the averaged weights.

    `seed` draws the order of the images and their augmentation; `advance` hears how many images went by.
    The values are read from the device once an epoch.

    Raises:
        PipelineError: the loss is no longer a number.
    """
    device = train.labels.device
    generator = torch.Generator(device).manual_seed(seed)
    optimizer = build_optimizer(model, recipe.optimizer, recipe.learning_rate, recipe.momentum, recipe.weight_decay)
    steps = -(-len(train) // recipe.batch_size)
    schedule = build_schedule(optimizer, recipe.schedule, recipe.warmup_epochs * steps, recipe.epochs * steps)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay))

    for number in range(1, recipe.epochs + 1):
        model.train()
        learning_rate = float(schedule.get_last_lr()[0])
        total_loss = torch.zeros((), device=device)
        correct = torch.zeros((), dtype=torch.int64, device=device)
        for indices in torch.randperm(len(train), generator=generator, device=device).split(recipe.batch_size):
            images, labels = recipe.augment(train.images[indices], generator), train.labels[indices]
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                logits = model(images)
                loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            averaged.update_parameters(model)
            total_loss += loss.detach() * len(labels)
            correct += (logits.argmax(1) == labels).sum()
            advance(len(labels))
        validation_loss, validation_accuracy = measure(averaged.module, validation)
        epoch = Epoch(
            number,
            learning_rate,
            total_loss.item() / len(train),
            correct.item() / len(train),
            validation_loss,
            validation_accuracy,
        )
        _check_finite(epoch)
        yield epoch
    model.load_state_dict(averaged.module.state_dict())


@torch.inference_mode()
def measure(model: nn.Module, examples: Examples) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of `model` over the examples."""
    model.eval()
    loss = torch.zeros((), device=examples.labels.device)
    correct = torch.zeros((), dtype=torch.int64, device=examples.labels.device)
    for images, labels in zip(
        examples.images.split(EVALUATION_BATCH), examples.labels.split(EVALUATION_BATCH), strict=True
    ):
        logits = model(images)
        loss += functional.cross_entropy(logits, labels, reduction="sum")
        correct += (logits.argmax(1) == labels).sum()
    return loss.item() / len(examples), correct.item() / len(examples)


def _check_finite(epoch: Epoch) -> None:
    for name, value in vars(epoch).items():
        if not torch.isfinite(torch.tensor(value)):
            raise PipelineError(
                f"{name} became {value} in epoch {epoch.epoch}, at learning rate {epoch.learning_rate:g}: "
                "lower learning_rate in params.yaml, or raise warmup_epochs"
            )
