"""Several processes that train one model together, as torchrun starts them: PyTorch's DistributedDataParallel."""

import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mnist_pipeline.errors import PipelineError, in_one_line


@dataclass(frozen=True)
class Team:
    """One process and how many there are; process 0 leads: it alone writes and tells."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process's part of a batch of `count` images; the parts differ by one image at most."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def wrap(self, model: nn.Module, images: Tensor) -> nn.Module:
        """`model`, whose gradients are then the mean over the processes.

        After its first backward pass it sorts the gradients into other buckets, in which they add up in another order.
        That pass is made here, of some images, so that the first step after a checkpoint adds as an undisturbed one.
        """
        if self.size == 1:
            return model
        together = DistributedDataParallel(model)
        together.eval()  # statistics and random layers stay out of it
        together(images).sum().backward()
        together.zero_grad()
        return together

    def total(self, values: Tensor) -> Tensor:
        """The sum over the processes."""
        values = values.clone()
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def decide(self, decision: bool, device: torch.device) -> bool:
        """What the leader decides."""
        if self.size == 1:
            return decision
        said = torch.tensor(decision, dtype=torch.uint8, device=device)
        distributed.broadcast(said, src=0)
        return bool(said)

    def hear(self, content: bytes, device: torch.device) -> bytes:
        """The leader's `content`."""
        if self.size == 1:
            return content
        length = torch.tensor(len(content), device=device)
        distributed.broadcast(length, src=0)
        said = torch.zeros(int(length), dtype=torch.uint8, device=device)
        if self.leads and content:
            said.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        distributed.broadcast(said, src=0)
        return bytes(said.cpu().numpy())


ALONE = Team()


def is_member() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[Team, torch.device]]:
    """The team that torchrun made, of NVIDIA GPUs over NCCL, else over gloo, and this process's own device.

    The processes of a machine share its cores.

    Raises:
        PipelineError: the machine has too few devices, or another process of the team ended.
    """
    if not is_member():
        yield ALONE, device
        return
    team, here = Team(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])), int(os.environ["LOCAL_WORLD_SIZE"])
    demand_devices(here, device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // here))
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        with ending_with_parent():
            yield team, device
        distributed.barrier()  # who leaves while others still talk may be aborted by it
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):  # what is left when another ended
            raise PipelineError(f"process {team.rank} of {team.size} lost the others: {in_one_line(error)}") from error
        raise
    finally:
        distributed.destroy_process_group()


def demand_devices(processes: int, device: torch.device) -> None:
    """Finds out whether each process of this machine has a device.

    Raises:
        PipelineError: it has not.
    """
    if device.type == "mps":
        raise PipelineError("train.processes: Apple's GPU takes one process alone; set 1, or train.device: cpu")
    if device.type == "cuda" and torch.cuda.device_count() < processes:
        count = torch.cuda.device_count()
        raise PipelineError(
            f"train.processes: {processes} processes on a machine with {count} GPUs: set {count} or fewer"
        )


@contextmanager
def ending_with_parent() -> Iterator[None]:
    """Ends this process within the block when the one that started it was killed; else it would go on."""
    parent, over = os.getppid(), threading.Event()

    def watch() -> None:
        while not over.wait(1):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def launch(processes: int, module: str, *arguments: str) -> None:
    """Runs `python -m module arguments` in several processes on this machine, as torchrun does.

    Raises:
        PipelineError: a process failed or was killed; then the others are ended too.
        KeyboardInterrupt: Ctrl-C ended them all.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=uuid.uuid4().hex,
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module, *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        how = failure.signal_name() if failure.exitcode < 0 else f"exit code {failure.exitcode}"
        raise PipelineError(
            f"process {rank} of {processes} ended with {how}, and with it the others: "
            "mend what it says above, and run the same command again: it goes on from the last checkpoint"
        ) from error
    except SignalException as stopped:
        raise KeyboardInterrupt from stopped
