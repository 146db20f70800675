"""A GPU that PyTorch finds and cannot use costs one warning, or one error where it was named."""

import os
import warnings
from collections.abc import Callable

import pytest
import torch

from mnist_pipeline import gpu
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.training.devices import choose_device

ARCHITECTURES = ["sm_75", "sm_86", "sm_90a", "compute_90"]
OLD_DRIVER = "The NVIDIA driver on your system is too old (found version 11040). Please update it."

UNKNOWN = "CUDA unknown error - the environment is set up wrongly, e.g. CUDA_VISIBLE_DEVICES changed after the start."


@pytest.fixture
def make_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def make(capability: tuple[int, int], built: list[str]) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla P100")
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)

    return make


def warn() -> bool:
    warnings.warn(f"CUDA initialization: {OLD_DRIVER}", UserWarning, stacklevel=1)
    return False


def fail() -> tuple[int, int]:
    raise RuntimeError(OLD_DRIVER)


@pytest.mark.parametrize(
    ("capability", "built", "works"),
    [
        ((8, 9), ARCHITECTURES, True),
        ((9, 0), ARCHITECTURES, True),
        ((12, 0), ARCHITECTURES, True),
        ((12, 0), ARCHITECTURES[:3], False),
        ((8, 0), ARCHITECTURES, False),
        ((6, 0), ARCHITECTURES, False),
        ((9, 3), ARCHITECTURES[2:3], False),
        ((9, 0), ["gfx90a"], True),
        ((9, 0), [], True),
    ],
)
def test_code_runs_on_newer_gpus_of_its_major_version_and_ptx_on_all_newer_ones(
    make_gpu, capability: tuple[int, int], built: list[str], works: bool
) -> None:
    make_gpu(capability, built)
    problem = gpu.find_problem()
    assert (problem is None) == works
    assert works or "sm_{}{}".format(*capability) in problem.advice


@pytest.mark.parametrize(("function", "fake"), [("is_available", warn), ("get_device_capability", fail)])
def test_a_driver_that_is_too_old_is_named(make_gpu, monkeypatch, function: str, fake: Callable[[], object]) -> None:
    make_gpu((9, 0), ARCHITECTURES)
    monkeypatch.setattr(torch.cuda, function, fake)
    problem = gpu.find_problem()
    assert problem is not None
    assert "driver" in problem.advice
    assert problem.found.endswith("too old (found version 11040)")


def test_another_failure_of_cuda_is_printed_whole_and_blames_no_driver(make_gpu, monkeypatch) -> None:
    def fail() -> tuple[int, int]:
        raise RuntimeError(f"CUDA initialization: {UNKNOWN} Setting the available devices to be zero.")

    make_gpu((9, 0), ARCHITECTURES)
    monkeypatch.setattr(torch.cuda, "get_device_capability", fail)
    problem = gpu.find_problem()
    assert problem is not None
    assert problem.found == UNKNOWN.removesuffix(".")
    assert "driver" not in problem.advice


def test_auto_takes_the_cpu_with_one_warning(make_gpu, capfd) -> None:
    make_gpu((6, 0), ARCHITECTURES)
    gpu.leave_out_unusable("train.device", "cpu")
    assert choose_device("train.device", "auto").type == "cuda"
    with pytest.raises(PipelineError, match=r"^train\.device = cuda: .*sm_60"):
        gpu.leave_out_unusable("train.device", "cuda")
    gpu.leave_out_unusable("train.device", "auto")
    assert choose_device("train.device", "auto").type == "cpu"
    assert (torch.cuda.device_count(), os.environ["CUDA_VISIBLE_DEVICES"]) == (0, "")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: train.device = auto: the CPU is used: ")
    assert "sm_60" in line


def test_a_machine_without_a_gpu_has_no_problem() -> None:
    assert torch.cuda.is_available() or gpu.find_problem() is None
