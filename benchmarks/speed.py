"""How fast training is, beside what others would do; everything side by side in one run, as ratios of medians.

    make bench

prints tables and writes `benchmarks/results/speed.json`; `python benchmarks/speed.py tables` brings those of the
documentation up to date, and `python benchmarks/speed.py loop to_99` measures only what it names.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as `mnist-pipeline` does, before OpenMP loads

import torch
from torch import nn
from torch.nn import functional
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from mnist_pipeline import paths
from mnist_pipeline.devices import choose_device, choose_precision
from mnist_pipeline.params import load_params
from mnist_pipeline.stages.train import Setup, prepare
from mnist_pipeline.tasks.changes import with_training, write_values
from mnist_pipeline.training.loop import Examples
from recipe import TUTORIAL
from report import instructions, most_memory, processor, write_in_pages
from rivals import EPOCHS, IMAGES
from speed_tables import tables

RESULTS = Path(__file__).parent / "results/speed.json"
CPU = torch.device("cpu")
MODELS = ("lenet", "mlp")
REPEATS = 5
FAST = {"epochs": 4, "ema_decay": 0.98, "augmentation.elastic": 0.0}
"""LeNet for whoever wants 99 % soon: the default recipe over four epochs, and an average that is as much shorter."""
TRACKED_EPOCHS = 2
TRACKED_RUNS = 7
SIZES = (6_000, 60_000, 600_000)
RUNS_OF_EXAMPLE = 3
SPINS = ("0", "300", "3000", "30000", "300000")
KINDS = {
    "convolution": ("conv",),
    "pooling": ("pool", "Halve", "aten::maximum", "aten::ge"),
    "matrix product": ("addmm", "aten::mm"),
    "distortion": ("grid_sampler", "einsum", "aten::bmm", "aten::normal_", "aten::uniform_"),
    "optimiser and average": ("_fused_", "lerp", "Optimizer"),
}
"""Kinds of operations, by what stands in PyTorch's names of them."""


def main() -> None:
    wanted = sys.argv[1:] or list(PARTS)
    if wanted == ["tables"]:
        write_in_pages(tables(json.loads(RESULTS.read_text())))
        return
    if wanted[0] in IN_A_PROCESS_OF_THEIR_OWN:
        sys.stdout.write(json.dumps(IN_A_PROCESS_OF_THEIR_OWN[wanted[0]](*wanted[1:])))
        return
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in wanted:
        print(f"measuring {name}", flush=True)  # noqa: T201
        found[name] = PARTS[name]()
        found["conditions"] = conditions()
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    sys.stdout.write("\n\n".join(tables(found).values()) + "\n")


def conditions() -> dict[str, Any]:
    return {
        "processor": processor(),
        "instructions": instructions(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "mlflow": version("mlflow"),
    }


def median_seconds(*works: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """The median time of each, taken in turns, so that what else the machine does meets all of them."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for times, work in zip(taken, works, strict=True):
            begun = time.perf_counter()
            work()
            times.append(time.perf_counter() - begun)
    return [statistics.median(times) for times in taken]


def in_a_process(*command: str, environment: Mapping[str, str | None] | None = None) -> Any:
    """What a script of this folder tells; `None` leaves a variable out of its environment."""
    changed = {**os.environ, **(environment or {})}
    kept = {name: value for name, value in changed.items() if value is not None}
    script = [sys.executable, str(Path(__file__).parent / command[0]), *command[1:]]
    return json.loads(subprocess.run(script, env=kept, stdout=subprocess.PIPE, check=True, text=True).stdout)


def medians(works: Mapping[str, Callable[[], float]], repeats: int = REPEATS) -> dict[str, float]:
    """The median of what each says, taken in turns, so that what else the machine does meets all of them."""
    said: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            said[name].append(work())
    return {name: statistics.median(values) for name, values in said.items()}


# The loop: images a second


def loop() -> dict[str, Any]:
    """This pipeline's loop against the tutorial's: the same network, batch size and optimiser, no augmentation."""
    return {model: _loop_of(model) for model in MODELS}


def _loop_of(model: str) -> dict[str, float]:
    theirs = partial(in_a_process, "rivals.py", "tutorial", model, environment={"GOMP_SPINCOUNT": None})
    precisions = ["float32"]
    if choose_precision("auto", CPU) == torch.bfloat16:
        precisions.append("bfloat16")  # elsewhere it is emulated, which takes minutes
    ours = {name: partial(in_a_process, "speed.py", "rate", model, name) for name in precisions}
    bare = {f"{name}_bare": partial(in_a_process, "speed.py", "bare", model, name) for name in precisions}
    peaks = {f"{name}_peak": _product_rate(getattr(torch, name)) for name in precisions}
    return medians({"tutorial": theirs, **ours, **bare}) | {"operations": _operations_per_image(model)} | peaks


def rate(model: str, precision: str) -> float:
    """Images a second with the tutorial's recipe."""
    setup = with_first(setup_of(model, TUTORIAL | {"epochs": EPOCHS, "precision": precision}), IMAGES)
    times = []
    begun = time.perf_counter()
    for _ in setup.epochs():
        times.append(time.perf_counter() - begun)
        begun = time.perf_counter()
    return IMAGES / statistics.median(times[1:])


def bare(model: str, precision: str) -> float:
    """Images a second of a loop that does nothing: forward and backward of one batch that is ready, no optimiser."""
    setup = setup_of(model, TUTORIAL | {"precision": precision})
    recipe = setup.recipe
    batch = with_first(setup, recipe.batch_size).train
    ready = Examples(batch.images.unsqueeze(1) / 255, batch.labels)
    network = setup.classifier.network

    def steps() -> None:
        for _ in range(IMAGES // recipe.batch_size):
            network.zero_grad()
            _forward_and_backward(network, ready, recipe.precision)

    steps()
    return IMAGES / median_seconds(steps)[0]


def _forward_and_backward(network: nn.Module, examples: Examples, precision: torch.dtype) -> None:
    with torch.autocast(examples.images.device.type, precision, enabled=precision != torch.float32):
        loss = functional.cross_entropy(network(examples.images), examples.labels)
    loss.backward()


def _operations_per_image(model: str) -> float:
    setup = setup_of(model, {})
    with FlopCounterMode(display=False) as counter:
        functional.cross_entropy(setup.classifier(setup.train.images[:64]), setup.train.labels[:64]).backward()
    return counter.get_total_flops() / 64


def _product_rate(precision: torch.dtype) -> float:
    """Operations a second in a large matrix product."""
    square = torch.rand(2048, 2048).to(precision)
    (product,) = median_seconds(lambda: square @ square)
    return 2 * 2048**3 / product


def waiting() -> dict[str, dict[str, float]]:
    """Images a second by how long a thread of OpenMP looks out for work before it sleeps."""
    return {
        model: medians(
            {
                spins: partial(in_a_process, "speed.py", "rate", model, "auto", environment={"GOMP_SPINCOUNT": spins})
                for spins in SPINS
            },
            repeats=3,
        )
        for model in MODELS
    }


def operations() -> dict[str, dict[str, float]]:
    """Where the time of a step of the default recipe goes, on one thread: shares by kind of operation."""
    return {model: _shares(model) for model in MODELS}


def _shares(model: str) -> dict[str, float]:
    setup = setup_of(model, {"epochs": 2, "warmup_epochs": 0})
    setup = with_first(setup, 40 * setup.recipe.batch_size)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with profile() as watched:
        list(setup.epochs())
    torch.set_num_threads(threads)
    seconds = dict.fromkeys([*KINDS, "the rest"], 0.0)
    for event in watched.key_averages():
        kind = next((kind for kind, words in KINDS.items() if any(word in event.key for word in words)), "the rest")
        seconds[kind] += event.self_cpu_time_total
    return {kind: spent / sum(seconds.values()) for kind, spent in seconds.items()}


def compiled() -> dict[str, dict[str, float]]:
    """Milliseconds of a step, but for the optimiser's, with torch.compile and without, when it is compiled."""
    return {model: _compiled(model) for model in MODELS}


def _compiled(model: str) -> dict[str, float]:
    setup = setup_of(model, {})
    batch = with_first(setup, setup.recipe.batch_size).train

    def step(network: nn.Module) -> None:
        _forward_and_backward(network, batch, setup.recipe.precision)

    fast: nn.Module = torch.compile(setup.classifier)
    step(fast)
    works = [lambda: [step(setup.classifier) for _ in range(30)], lambda: [step(fast) for _ in range(30)]]
    plain, other = median_seconds(*works)
    return {"plain": 1000 * plain / 30, "compiled": 1000 * other / 30}


def setup_of(model: str, changes: dict[str, Any], seed: int = 0, device: torch.device = CPU) -> Setup:
    params = with_training(load_params(), model, changes)
    return prepare(params.model_copy(update={"train": params.train.model_copy(update={"seed": seed})}), model, device)


def with_first(setup: Setup, count: int) -> Setup:
    few = Examples(setup.train.images[:count], setup.train.labels[:count])
    return replace(setup, train=few, validation=Examples(few.images[:1], few.labels[:1]))


# The time to 99 %


def to_99() -> dict[str, float]:
    """Seconds of training until 99 % of the validation images are right at the end of an epoch; both are validated."""
    ours = [in_a_process("speed.py", "fast", str(seed)) for seed in range(REPEATS)]
    alone = {"GOMP_SPINCOUNT": None}
    theirs = [in_a_process("rivals.py", "example", str(seed), environment=alone) for seed in range(RUNS_OF_EXAMPLE)]
    return {
        "example": statistics.median(theirs),
        "pipeline": statistics.median(ours),
        "ratio": statistics.median(theirs) / statistics.median(ours),
        "runs_of_example": len(theirs),
        "runs_of_pipeline": len(ours),
    }


def fast(seed: str) -> float:
    """Seconds to 99 % with the fast recipe, on a GPU where there is one."""
    setup = setup_of("lenet", FAST, int(seed), choose_device("train.device", "auto"))
    begun = time.perf_counter()
    for epoch in setup.epochs():
        if epoch.validation_accuracy >= 0.99:
            return time.perf_counter() - begun
    raise SystemExit(f"the fast recipe ended at {epoch.validation_accuracy:.2%}")


# Growth with the data


def growth() -> dict[str, Any]:
    """Seconds of one epoch, and the most memory of the process, from 6 thousand images to 600 thousand."""
    return {
        model: {str(size): in_a_process("speed.py", "grow", model, str(size)) for size in SIZES} for model in MODELS
    }


def grow(model: str, size: str) -> dict[str, float]:
    """Trains on as many images: the training set, over and over; augmentation makes each of them another."""
    setup = setup_of(model, {"epochs": 2})
    chosen = torch.arange(int(size)) % len(setup.train)
    train = Examples(setup.train.images[chosen], setup.train.labels[chosen])
    setup = replace(setup, train=train)
    first = next(epochs := setup.epochs())  # the first step of a process also chooses kernels
    begun = time.perf_counter()
    assert next(epochs).epoch == first.epoch + 1
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "peak_bytes": most_memory(), "data_bytes": train.images.nbytes + train.labels.nbytes}


# The whole pipeline


def pipeline() -> dict[str, Any]:
    """Where the seconds of a first `make repro` go, in a clone that has the data."""
    with tempfile.TemporaryDirectory() as folder:
        clone, stages = Path(folder) / "clone", Path(folder) / "stages.jsonl"
        shim = Path(folder) / "bin/mnist-pipeline"
        shim.parent.mkdir()
        shim.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).parent / "timed_stage.py"} "$@"\n')
        shim.chmod(0o755)
        subprocess.run(["git", "clone", "--quiet", ".", clone], check=True)
        with_data(clone / "params.yaml")
        path = f"{shim.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        begun = time.perf_counter()
        for command in ("dvc repro", "mnist-pipeline results", "mnist-pipeline sync --if-changed"):
            subprocess.run(
                command.split(),
                cwd=clone,
                env=os.environ | {"PATH": path, "TIMED_STAGES": str(stages)},
                stdout=subprocess.DEVNULL,
                check=True,
            )
        whole = time.perf_counter() - begun
        lines = [json.loads(line) for line in stages.read_text().splitlines()]
    return {"seconds": whole, "stages": lines}


def with_data(params: Path) -> None:
    """Lets a clone take the data from here."""
    params.write_text(params.read_text().replace("source: auto", f"source: {paths.RAW.resolve()}", 1))


def tracking() -> dict[str, dict[str, float]]:
    """Seconds of the train stage with MLflow and without, in turns, in a clone; few epochs, for they cost no more."""
    return {model: _tracking_of(model) for model in MODELS}


def _tracking_of(model: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", ".", clone], check=True)
        (clone / "data").mkdir(exist_ok=True)
        (clone / "data/raw").symlink_to(paths.RAW.resolve())
        write_values(f"train.{model}", {"epochs": TRACKED_EPOCHS}, clone / "params.yaml")
        works = [partial(_train_in, clone, model, option) for option in ([], ["--without-tracking"])]
        works[0]()  # makes the store, which a project has once
        on, off = median_seconds(*works, repeats=TRACKED_RUNS)
    return {"epochs": TRACKED_EPOCHS, "on": on, "off": off}


def _train_in(clone: Path, model: str, option: list[str]) -> None:
    command = [sys.executable, str(Path(__file__).parent / "timed_stage.py"), *option, "train", model]
    environment = os.environ | {"TIMED_STAGES": os.devnull}
    subprocess.run(command, cwd=clone, env=environment, check=True, stderr=subprocess.DEVNULL)


PARTS: dict[str, Callable[[], Any]] = {
    "loop": loop,
    "waiting": waiting,
    "operations": operations,
    "compiled": compiled,
    "to_99": to_99,
    "growth": growth,
    "tracking": tracking,
    "pipeline": pipeline,
}
IN_A_PROCESS_OF_THEIR_OWN: dict[str, Callable[..., Any]] = {"rate": rate, "bare": bare, "fast": fast, "grow": grow}


if __name__ == "__main__":
    main()
