"""The training loop: it knows tensors, an optimiser and a schedule, and nothing of the model."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.training.checkpoint import Checkpoints, Snapshot
from mnist_pipeline.training.optimization import Schedule, build_optimizer, build_schedule
from mnist_pipeline.training.randomness import Draws
from mnist_pipeline.training.state import Epoch, State
from mnist_pipeline.training.team import ALONE, Team

EVALUATION_BATCH = 1000
STEPS_BETWEEN_LOOKS = 10
"""After as many steps, a training looks whether a checkpoint is due."""


class DivergedError(PipelineError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Examples:
    """Raw images `uint8 [N, 28, 28]` and labels `int64 [N]`, held on the device that trains."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


Augment = Callable[[Tensor, torch.Generator, slice, float], Tensor]
"""Of the images of a batch, those in the slice, distorted with so much of its strength, from 0 to 1.

It draws for all images, whatever the slice.
"""


@dataclass(frozen=True)
class Recipe:
    """How to train; `docs/parameters.md` describes the values under the same names.

    Weights are float32 always; in another `precision` the layers multiply that gain by it (torch.autocast).
    """

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
    precision: torch.dtype
    augment: Augment
    final_strength: float

    def strength(self, done: float) -> float:
        """Of the augmentation, when such a share of all steps is done: it falls evenly from 1 to the final one."""
        return 1 - done * (1 - self.final_strength)


def fit(
    model: nn.Module,
    train: Examples,
    validation: Examples,
    recipe: Recipe,
    seed: int,
    advance: Callable[[int], None],
    checkpoints: Checkpoints | None = None,
    team: Team = ALONE,
) -> Iterator[Epoch]:
    """Trains `model` in place and yields each epoch's numbers; after the last it holds the averaged weights.

    `seed` draws the order of the images and their augmentation; `advance` hears how many images went by. Where
    `checkpoints` has one, the training goes on from there, and yields first the epochs that were done before.
    A batch is shared among the `team`, whose processes all see the same examples; all of them get the same weights.

    Raises:
        DivergedError: the loss is no longer a number.
    """
    device = train.labels.device
    steps = math.ceil(len(train) / recipe.batch_size)
    state = _begin(model, recipe, steps)
    together = team.wrap(model, train.images[:1])
    draws = Draws(seed, device, team.rank)
    if saved := team.hear(checkpoints.load() if checkpoints and team.leads else b"", device):
        state.restore(Snapshot.from_bytes(saved), team)
        advance(len(state.history) * len(train) + len(state.rates) * recipe.batch_size)
    yield from state.history

    for number in range(len(state.history) + 1, recipe.epochs + 1):
        model.train()
        batches = draws.order(number, len(train)).split(recipe.batch_size)
        for step in range(len(state.rates), steps):
            if checkpoints and step % STEPS_BETWEEN_LOOKS == 0 and team.decide(checkpoints.is_due(), device):
                _save(checkpoints, state, team)
            before = (number - 1) * steps + step
            strength = recipe.strength(before / (recipe.epochs * steps))
            _step(state, together, train, batches[step], recipe, draws.at_step(before), strength, team)
            advance(len(batches[step]))
        state.history.append(_end_epoch(state, train, validation, team))
        state.begin_epoch()
        if checkpoints:
            _save(checkpoints, state, team)
        yield state.history[-1]
    model.load_state_dict(state.averaged.state_dict())


def _begin(model: nn.Module, recipe: Recipe, steps: int) -> State:
    optimizer = build_optimizer(model, recipe.optimizer, recipe.learning_rate, recipe.momentum, recipe.weight_decay)
    schedule = build_schedule(optimizer, recipe.schedule, recipe.warmup_epochs * steps, recipe.epochs * steps)
    return State(model, optimizer, schedule, recipe.ema_decay, steps)


def _step(
    state: State,
    model: nn.Module,
    train: Examples,
    batch: Tensor,
    recipe: Recipe,
    generator: torch.Generator,
    strength: float,
    team: Team,
) -> None:
    """One step on the images of `batch`, of which this process takes its share; nothing waits for the device."""
    share = team.share(len(batch))
    images, labels = recipe.augment(train.images[batch], generator, share, strength), train.labels[batch[share]]
    with torch.autocast(images.device.type, recipe.precision, enabled=recipe.precision != torch.float32):
        logits = model(images)
        loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing, reduction="sum")
    state.optimizer.zero_grad()
    (loss * (team.size / len(batch))).backward()  # the team takes the mean of its members' gradients
    state.optimizer.step()
    state.average()
    step = len(state.rates)
    state.losses[step] = loss.detach()
    state.hits[step] = (logits.argmax(1) == labels).sum()
    state.rates.append(float(state.schedule.get_last_lr()[0]))
    state.schedule.step()


def _end_epoch(state: State, train: Examples, validation: Examples, team: Team) -> Epoch:
    losses = _finite_losses(state, team)
    validation_loss, validation_accuracy = measure(state.averaged, validation)
    number = len(state.history) + 1
    if not math.isfinite(validation_loss):
        raise _diverged("the validation loss", validation_loss, number, len(state.rates), state.rates[-1])
    return Epoch(
        number,
        state.rates[0],
        losses.sum().item() / len(train),
        team.total(state.hits).sum().item() / len(train),
        validation_loss,
        validation_accuracy,
    )


def _finite_losses(state: State, team: Team) -> Tensor:
    """The losses of the epoch's steps.

    Raises:
        DivergedError: one is not a number.
    """
    losses = team.total(state.losses)
    if (strange := losses.isfinite().logical_not().nonzero()).numel():
        step = int(strange[0])
        raise _diverged("the training loss", losses[step].item(), len(state.history) + 1, step + 1, state.rates[step])
    return losses


def _diverged(what: str, value: float, epoch: int, step: int, rate: float) -> DivergedError:
    return DivergedError(
        f"{what} became {value} in epoch {epoch}, step {step}, at learning rate {rate:g}: "
        "lower learning_rate in params.yaml, or raise warmup_epochs"
    )


def _save(checkpoints: Checkpoints, state: State, team: Team) -> None:
    _finite_losses(state, team)  # nobody goes on from weights that are no numbers
    snapshot = state.snapshot(team)
    if team.leads:
        checkpoints.save(snapshot)


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
