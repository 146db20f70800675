"""NVIDIA GPUs that PyTorch cannot compute on, which it finds all the same: named, and replaced by the CPU.

What this decides changes no result: where it finds something wrong, a stage would fail.
"""

import os
import re
import warnings
from typing import NamedTuple

import torch

from mnist_pipeline import console
from mnist_pipeline.errors import PipelineError, one_line


class Problem(NamedTuple):
    found: str
    advice: str


def leave_out_unusable(key: str, name: str) -> None:
    """Let PyTorch find no GPU, after one warning, where the parameter `key` is `auto` and the GPU cannot be used.

    Raises:
        PipelineError: it cannot be used, and the parameter names it.
    """
    if name not in ("auto", "cuda") or not (problem := find_problem()):
        return
    if name == "cuda":
        raise PipelineError(f"{key} = cuda: {problem.found}: {problem.advice}, or set auto or cpu in params.yaml")
    console.warn(f"{key} = auto: the CPU is used: {problem.found}: {problem.advice}")
    torch.cuda.is_available, torch.cuda.device_count = lambda: False, lambda: 0
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # of the processes that this one starts


def find_problem() -> Problem | None:
    """Why the first GPU cannot be used; None where it can, or where there is none."""
    with warnings.catch_warnings(record=True) as caught:  # PyTorch warns once, when it first looks for a driver
        warnings.simplefilter("always")
        try:
            capability = torch.cuda.get_device_capability() if torch.cuda.is_available() else None
            reported = [str(warning.message) for warning in caught if "CUDA init" in str(warning.message)]
        except RuntimeError as error:
            capability, reported = None, [str(error)]
    built = torch.cuda.get_arch_list() if capability else []
    if capability and built and not any(_runs(arch, *capability) for arch in built):
        wanted, gpu = "sm_{}{}".format(*capability), torch.cuda.get_device_name()
        found = f"PyTorch {torch.__version__} supports {', '.join(built)}, and the GPU {gpu} is {wanted}"
        return Problem(found, f"install a PyTorch build for {wanted}")
    if not capability and reported:
        reason = re.split(r"[.] (?=Please|Setting)", reported[0].removeprefix("CUDA initialization: "))[0]
        advice = f"update the NVIDIA driver to one for CUDA {torch.version.cuda}, or install a PyTorch build for yours"
        if "driver" not in reason:
            advice = "see nvidia-smi and CUDA_VISIBLE_DEVICES, or restart the machine"
        return Problem(one_line(reason), advice)
    return None


def _runs(arch: str, major: int, minor: int) -> bool:
    """Whether code for `sm_86` runs on a GPU, which is of the same major version, or PTX as `compute_90` on newer ones.

    Code whose name ends in `a` runs on that version alone. Of other makers, whose names have no such form, all does.
    """
    kind, _, number = arch.rstrip("af").partition("_")
    if not number.isdecimal():
        return True
    code = divmod(int(number), 10)
    if arch.endswith("a"):
        return code == (major, minor)
    return code <= (major, minor) and (kind == "compute" or code[0] == major)
