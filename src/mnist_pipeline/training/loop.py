"""The training loop: it knows tensors and settings, and nothing of the model.

Everything that a step draws or sets follows from the seed and the step's number alone, so that a training resumed from
a checkpoint computes what an undisturbed one computes.
"""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mnist_pipeline.data.augment import random_distortion
from mnist_pipeline.data.dataset import batch_size
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.training import distributed
from mnist_pipeline.training.checkpoint import Checkpoint
from mnist_pipeline.training.optimization import averaging_decay_at, build_optimizer, learning_rate_at

ORDER, AUGMENTATION, LAYERS = range(3)  # what is drawn at random: by layers as dropout, in each process by itself
SEED_LAYERS = {
    "cpu": torch.default_generator.manual_seed,  # torch.manual_seed takes a hundred times as long
    "cuda": torch.cuda.manual_seed,
    "mps": torch.mps.manual_seed,
}

EpochMetrics = dict[str, float]
"""One epoch in the history; losses are mean cross-entropies, accuracies shares of 1.

The training values are of the weights as they moved, on augmented images; the validation values are of the weights
that are kept, which are averaged, on clean ones. `learning_rate` is that of the epoch's first step.
"""


class DivergedError(PipelineError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class ImageSubset:
    """Some images of a split, which may be larger than the memory of the device that trains."""

    images: Tensor  # uint8 [N, height, width, channels] of the whole split, on any device
    labels: Tensor  # int64 [N], on the device that trains
    indices: Tensor  # int64 [M], of the images that are meant, on the device that trains

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """The images and labels at some places of the subset, on the device that trains."""
        chosen = self.indices[places]
        images = self.images.index_select(0, chosen.to(self.images.device))  # which copies an image at a time
        return images.to(self.labels.device), self.labels[chosen]


def fit(
    model: nn.Module,
    train: ImageSubset,
    validation: ImageSubset,
    settings: Any,
    seed: int,
    precision: torch.dtype = torch.float32,
    checkpoint: Checkpoint | None = None,
    checkpoint_steps: int = 0,
    on_progress: Callable[[int], None] = lambda images: None,
) -> Iterator[EpochMetrics]:
    """Train `model` in place and yield the metrics of each epoch; after the last it holds the averaged weights.

    `settings` is the section `train.<model>` of params.yaml. Weights are float32 always; in another `precision` the
    layers multiply that gain by it (torch.autocast).

    A checkpoint is kept every `checkpoint_steps` steps, or each epoch where that is 0. Where `checkpoint` has one, the
    training resumes there, and first yields the epochs before it. `on_progress` gets the number of images done.
    Several processes hold the same data and share each batch; all of them end with the same weights. Where the loss is
    no longer a number, they end with a `DivergedError`.
    """
    device = train.labels.device
    epoch_steps = math.ceil(len(train) / settings.batch_size)
    steps, first_step = settings.epochs * epoch_steps, 0
    rank, world_size = distributed.rank(), distributed.world_size()
    optimizer = build_optimizer(model, settings)
    averaged = deepcopy(model) if settings.ema_decay else model
    parallel = distributed.parallel(model, train.take(torch.arange(1, device=device))[0])
    bounds = dict(settings.augmentation)
    final_strength = bounds.pop("final_strength")
    generator = torch.Generator(device)
    losses = torch.zeros(epoch_steps, device=device)  # of each step of the epoch, summed over its images
    correct = torch.zeros(epoch_steps, dtype=torch.int64, device=device)
    history: list[EpochMetrics] = []
    if state := distributed.broadcast(checkpoint.load() if checkpoint and rank == 0 else None):
        first_step, history = state["step"], state["history"]
        model.load_state_dict(state["model"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        if rank == 0:  # they were summed over the processes
            losses.copy_(state["losses"])
            correct.copy_(state["correct"])
        on_progress(len(history) * len(train) + first_step % epoch_steps * settings.batch_size)
    yield from history

    for step in range(first_step, steps):
        epoch, epoch_step = divmod(step, epoch_steps)
        if epoch_step == 0 or step == first_step:
            model.train()
            generator.manual_seed(_seed(seed, ORDER, epoch))
            batches = torch.randperm(len(train), generator=generator, device=device).split(settings.batch_size)
        batch = batches[epoch_step]
        part = slice(len(batch) * rank // world_size, len(batch) * (rank + 1) // world_size)
        strength = 1 - step / steps * (1 - final_strength)
        generator.manual_seed(_seed(seed, AUGMENTATION, step))
        images, labels = train.take(batch)
        images, labels = random_distortion(images, generator, part, strength, **bounds), labels[part]

        SEED_LAYERS[device.type](_seed(seed, LAYERS + rank, step))
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits = parallel(images)
            loss = cross_entropy(logits, labels, label_smoothing=settings.label_smoothing, reduction="sum")
        optimizer.zero_grad()
        (loss * (world_size / len(batch))).backward()  # gradients are averaged over the processes
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, steps, settings)
        optimizer.step()
        if averaged is not model:
            _average(averaged, model, averaging_decay_at(step, settings.ema_decay))
        losses[epoch_step] = loss.detach()
        correct[epoch_step] = (logits.argmax(1) == labels).sum()
        on_progress(len(batch))

        epoch_ends = epoch_step + 1 == epoch_steps
        checkpoint_due = checkpoint and (step + 1) % (checkpoint_steps or epoch_steps) == 0
        if not epoch_ends and not checkpoint_due:
            continue
        all_losses, all_correct = distributed.all_reduce(losses), distributed.all_reduce(correct)
        lost = all_losses.isfinite().logical_not().nonzero().flatten().tolist()
        if epoch_ends and not lost:
            validation_loss, validation_accuracy = measure(averaged, validation)
            lost = [] if math.isfinite(validation_loss) else [epoch_step]
        if lost:
            rate = learning_rate_at(step - epoch_step + lost[0], steps, settings)
            raise DivergedError(
                f"the loss is no longer a number in epoch {epoch + 1}, step {lost[0] + 1}, at learning rate {rate:g}: "
                "lower learning_rate in params.yaml, or raise warmup"
            )
        if epoch_ends:
            history.append(
                {
                    "epoch": epoch + 1,
                    "learning_rate": learning_rate_at(epoch * epoch_steps, steps, settings),
                    "train_loss": all_losses.sum().item() / len(train),
                    "train_accuracy": all_correct.sum().item() / len(train),
                    "validation_loss": validation_loss,
                    "validation_accuracy": validation_accuracy,
                }
            )
        if checkpoint and checkpoint_due and rank == 0:
            parts = (("model", model), ("averaged", averaged), ("optimizer", optimizer))
            state = {"step": step + 1, "history": history, "losses": all_losses, "correct": all_correct}
            checkpoint.save(state | {name: part.state_dict() for name, part in parts})
        if epoch_ends:
            yield history[-1]
    model.load_state_dict(averaged.state_dict())


@torch.inference_mode()
def measure(model: nn.Module, dataset: ImageSubset) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of `model` over a dataset."""
    model.eval()
    device = dataset.labels.device
    loss, correct = torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device)
    for places in torch.arange(len(dataset), device=device).split(batch_size(dataset.images.shape)):
        images, labels = dataset.take(places)
        logits = model(images)
        loss += cross_entropy(logits, labels, reduction="sum")
        correct += (logits.argmax(1) == labels).sum()
    return loss.item() / len(dataset), correct.item() / len(dataset)


def _seed(seed: int, drawn: int, number: int) -> int:
    """A seed of its own for all that is drawn at a step or epoch."""
    return int(np.random.SeedSequence((seed, drawn, number)).generate_state(1)[0])


def _average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights towards those of `model`.

    AveragedModel does the same, but counts on a device: on a GPU, each step would wait for that.
    """
    get_ema_multi_avg_fn(decay)([*averaged.parameters()], [*model.parameters()], 0)
    for own, other in zip(averaged.buffers(), model.buffers(), strict=True):
        own.copy_(other)
