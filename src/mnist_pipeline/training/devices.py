"""Which device computes, in what precision, and what makes it compute the same bytes again."""

import os
import random

import numpy as np
import torch

from mnist_pipeline.errors import PipelineError


def choose_device(key: str, name: str) -> torch.device:
    """The device that the parameter `key` names; `auto` is CUDA, else Apple's MPS, else the CPU."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, present in available.items() if present)
    if not available[name]:
        raise PipelineError(f"{key} = {name}: PyTorch finds no such device here; use auto or cpu in params.yaml")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The numbers in which the network multiplies in training; `auto` is bfloat16 where `device` has it natively.

    Elsewhere bfloat16 is emulated, which takes longer than float32.
    """
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
        native = any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))  # the last is Arm's
    return torch.bfloat16 if native else torch.float32


def make_deterministic(seed: int = 0) -> None:
    """Seed every global generator and turn on PyTorch's deterministic algorithms.

    See https://docs.pytorch.org/docs/stable/notes/randomness.html, also for the cuBLAS variable.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms also loads the compiler, in 1.5 s
    # A debugging aid that costs time in each step. It is a property of the module's class.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    # CUDA would round the factors of convolutions to TensorFloat-32. The parameter `precision` alone decides what
    # training computes in, and what is measured, and compared to ONNX, is to be float32.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
