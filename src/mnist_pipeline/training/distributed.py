"""Several processes that train one model: torchrun starts them, DistributedDataParallel averages their gradients.

Not Lightning Fabric: its launcher cannot start `python src/mnist_pipeline`, and where one process failed, it ends the
job by SIGKILL of itself (exit code 137), without a message. Its import decides nothing: with an optimizer, torch takes
3.8 CPU seconds, Fabric beside it 3.9, or 5.9 where torchmetrics is installed (two cores, n = 6).
"""

import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mnist_pipeline.errors import PipelineError, one_line

T = TypeVar("T")
SLURM = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_STEP_NUM_TASKS", "LOCAL_RANK": "SLURM_LOCALID"}


def is_launched() -> bool:
    """Whether torchrun or srun started this process among others; of srun's variables it makes torchrun's."""
    if "RANK" not in os.environ and int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500", **os.environ}
        os.environ |= {name: os.environ[theirs] for name, theirs in SLURM.items()}
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def parallel(model: nn.Module, images: Tensor) -> nn.Module:
    """The model, whose gradients are then averaged over the processes."""
    if world_size() == 1:
        return model
    wrapped = DistributedDataParallel(model).eval()  # statistics and random layers stay out of the next line
    wrapped(images).sum().backward()  # after its first pass it adds in another order, also where a training resumes
    wrapped.zero_grad()
    return wrapped


def all_reduce(values: Tensor) -> Tensor:
    """The sum over the processes."""
    values = values.clone()
    if world_size() > 1:
        distributed.all_reduce(values)
    return values


def broadcast(value: T) -> T:
    """The value of rank 0."""
    values = [value]
    if world_size() > 1:
        distributed.broadcast_object_list(values)
    return values[0]


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that were started, over NCCL or gloo; yield the device of this one."""
    if not is_launched():
        yield device
        return
    parent = os.getppid()
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    if "LOCAL_WORLD_SIZE" in os.environ:  # srun gives each its cores
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(os.environ["LOCAL_WORLD_SIZE"])))

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)  # torchrun was killed, and cannot end this process

    threading.Thread(target=end_with_parent, daemon=True).start()
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
        distributed.barrier()  # a process that leaves while others still communicate may abort them
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise PipelineError(f"process {rank()} of {world_size()} lost the others: {one_line(error)}") from error
        raise
    finally:
        distributed.destroy_process_group()


def launch(processes: int, device: torch.device, *command: str) -> None:
    """Run a Python command in several processes on this machine, as torchrun does; where one fails, all are ended."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if device.type == "mps":
        raise PipelineError("train.processes: Apple's GPU takes one process alone; set 1, or train.device: cpu")
    if device.type == "cuda" and (count := torch.cuda.device_count()) < processes:
        raise PipelineError(f"train.processes: {processes} on a machine with {count} GPUs: set {count} or fewer")
    config = LaunchConfig(
        1, 1, processes, run_id=uuid.uuid4().hex, rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0
    )
    try:
        elastic_launch(config, sys.executable)(*command)
    except ChildFailedError as error:
        failed, failure = error.get_first_failure()
        how = failure.signal_name() if failure.exitcode < 0 else f"exit code {failure.exitcode}"
        raise PipelineError(
            f"process {failed} of {processes} ended with {how}, and with it the others: fix what it printed above; the "
            "same command resumes from the last checkpoint"
        ) from error
    except SignalException as stopped:
        raise KeyboardInterrupt from stopped
