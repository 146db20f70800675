"""Which device computes, and what makes it compute the same bytes again."""

import os
import random

import numpy as np
import torch

from mnist_pipeline.errors import PipelineError


def choose_device(key: str, name: str) -> torch.device:
    """The device that the parameter `key` names; `auto` is CUDA, else Apple's MPS, else the CPU.

    Raises:
        PipelineError: the named device is not on this machine.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, present in available.items() if present)
    if not available[name]:
        raise PipelineError(f"{key} = {name}: PyTorch finds no such device here; use auto or cpu in params.yaml")
    return torch.device(name)


def make_deterministic(seed: int = 0) -> None:
    """Seeds every global generator and turns on PyTorch's deterministic algorithms.

    See https://docs.pytorch.org/docs/stable/notes/randomness.html, also for the cuBLAS variable.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # A debugging aid that costs time in each step. It is a property of the module's class.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    # CUDA would round the factors of convolutions to TensorFloat-32. Training computes in bfloat16 there anyway, and
    # what is measured, and compared to ONNX, is to be float32.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
