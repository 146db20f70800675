"""All that a training carries from step to step, and how it is kept in a checkpoint."""

from copy import deepcopy
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mnist_pipeline.training.checkpoint import Snapshot
from mnist_pipeline.training.optimization import restore_state, state_tensors
from mnist_pipeline.training.team import Team


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


class State:
    """What changes while `model` trains.

    `losses` and `hits` hold, for each step of the present epoch, the summed loss of its images and how many of them
    were right; they stay on the device until the epoch ends. `rates` are the learning rates of its steps so far.
    `averaged` has the moving average of the weights, which begins with those after the first step; without an average
    it is `model` itself.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, schedule: LRScheduler, ema_decay: float, steps: int
    ) -> None:
        device = next(model.parameters()).device
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.averaged = deepcopy(model) if ema_decay else model
        self._average = get_ema_multi_avg_fn(ema_decay)
        modules = self.averaged, model
        # Walking through a module takes longer than a step's sums
        self._weights: list[list[Tensor]] = [[*module.parameters()] for module in modules]
        self._buffers: list[list[Tensor]] = [[*module.buffers()] for module in modules]
        self.losses = torch.zeros(steps, device=device)
        self.hits = torch.zeros(steps, dtype=torch.int64, device=device)
        self.rates: list[float] = []
        self.history: list[Epoch] = []

    @torch.no_grad()
    def average(self) -> None:
        """Takes the weights of this step into their average.

        AveragedModel does the same, but counts on a device: on a GPU, each step would wait for that.
        """
        if self.averaged is self.model:
            return
        mine, theirs = self._weights
        if self.history or self.rates:
            self._average(mine, theirs, 0)
        else:
            torch._foreach_copy_(mine, theirs)
        for own, other in zip(*self._buffers, strict=True):
            own.copy_(other)

    def begin_epoch(self) -> None:
        self.losses.zero_()
        self.hits.zero_()
        self.rates.clear()

    def snapshot(self, team: Team) -> Snapshot:
        """This moment, with what all processes counted."""
        tensors = {
            **_under("model", self.model.state_dict()),
            **_under("averaged", self.averaged.state_dict() if self.averaged is not self.model else {}),
            **_under("optimizer", state_tensors(self.optimizer)),
            "losses": team.total(self.losses),
            "hits": team.total(self.hits),
        }
        facts = {
            "groups": self.optimizer.state_dict()["param_groups"],
            "schedule": self.schedule.state_dict(),
            "rates": list(self.rates),
            "history": [asdict(epoch) for epoch in self.history],
        }
        return Snapshot(tensors, facts)

    def restore(self, snapshot: Snapshot, team: Team) -> None:
        """Goes back to that moment; what was counted until then counts on in the leader alone."""
        tensors, facts = snapshot.tensors, snapshot.facts
        self.model.load_state_dict(_of("model", tensors))
        if self.averaged is not self.model:
            self.averaged.load_state_dict(_of("averaged", tensors))
        restore_state(self.optimizer, _of("optimizer", tensors), facts["groups"])
        self.schedule.load_state_dict(facts["schedule"])
        self.rates = facts["rates"]
        self.history = [Epoch(**epoch) for epoch in facts["history"]]
        if team.leads:
            self.losses.copy_(tensors["losses"])
            self.hits.copy_(tensors["hits"])


def _under(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{part}.{name}": tensor for name, tensor in tensors.items()}


def _of(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}."): tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}
