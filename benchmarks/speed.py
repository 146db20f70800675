"""How fast training is, beside what others would do; everything side by side in one run, as ratios of medians.

    make bench

prints tables and writes `benchmarks/results/speed.json`; `python benchmarks/speed.py tables` brings those of the
documentation up to date, and `python benchmarks/speed.py loop to_99` measures only what it names.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as `mnist-pipeline` does, before OpenMP loads

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Subset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import datasets, transforms

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import load_split, stratified_split
from mnist_pipeline.models import build
from mnist_pipeline.params import load_params, with_training, write_training
from mnist_pipeline.stages.train import Setup, prepare
from mnist_pipeline.training.loop import Examples, measure
from recipe import TUTORIAL
from report import processor, table, write_in_pages

RESULTS = Path(__file__).parent / "results/speed.json"
CPU = torch.device("cpu")
MODELS = ("lenet", "mlp")
REPEATS = 5
FAST = {"epochs": 3, "ema_decay": 0.98, "augmentation.elastic": 0.0}
"""LeNet for whoever wants 99 % soon: the default recipe over three epochs, and an average that is as much shorter."""
TRACKED_EPOCHS = 6
SIZES = (6_000, 60_000, 600_000)


def main() -> None:
    wanted = sys.argv[1:] or list(PARTS)
    if wanted == ["tables"]:
        write_in_pages(tables(json.loads(RESULTS.read_text())))
        return
    if wanted[0] == "grow":
        sys.stdout.write(json.dumps(grow(wanted[1], int(wanted[2]))))
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
        "instructions": torch.backends.cpu.get_cpu_capability(),
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


# The loop: images a second


def loop() -> dict[str, Any]:
    """This pipeline's loop against the tutorial's: the same network, batch size and optimiser, no augmentation."""
    count = 12_800
    with tutorial_data() as data:
        return {model: _loop_of(model, data, count) for model in MODELS}


def _loop_of(model: str, data: datasets.MNIST, count: int) -> dict[str, float]:
    setup = with_first(setup_of(model, TUTORIAL | {"epochs": 1}), count)
    network = build(model, dict(load_params().training(model).architecture), 10)
    loader = DataLoader(Subset(data, range(count)), batch_size=64)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    theirs, ours = median_seconds(
        lambda: tutorial_epoch(network, loader, optimizer, nn.CrossEntropyLoss()), lambda: list(setup.epochs())
    )
    return {"tutorial": count / theirs, "pipeline": count / ours, "ratio": theirs / ours} | _floor(model, setup, ours)


def _floor(model: str, setup: Setup, seconds: float) -> dict[str, float]:
    """What the step's multiplications alone would take at the rate of a large matrix product."""
    batch = setup.train.images[:64]
    with FlopCounterMode(display=False) as counter:
        functional.cross_entropy(setup.classifier(batch), setup.train.labels[:64]).backward()
    operations = counter.get_total_flops() / 64
    square = torch.rand(2048, 2048)
    (product,) = median_seconds(lambda: square @ square)
    rate = 2 * 2048**3 / product
    return {
        "operations_per_image": operations,
        "matrix_product_rate": rate,
        "share_of_peak": operations * len(setup.train) / rate / seconds,
    }


def compiled() -> dict[str, dict[str, float]]:
    """Milliseconds of a step with torch.compile and without, when it is compiled."""
    return {model: _compiled(model) for model in MODELS}


def _compiled(model: str) -> dict[str, float]:
    setup = setup_of(model, {})
    images = setup.train.images[: setup.recipe.batch_size]
    labels = setup.train.labels[: setup.recipe.batch_size]

    def step(network: nn.Module) -> None:
        functional.cross_entropy(network(images), labels).backward()

    fast: nn.Module = torch.compile(setup.classifier)
    step(fast)
    works = [lambda: [step(setup.classifier) for _ in range(30)], lambda: [step(fast) for _ in range(30)]]
    plain, other = median_seconds(*works)
    return {"plain": 1000 * plain / 30, "compiled": 1000 * other / 30}


def tutorial_epoch(
    model: nn.Module, loader: "DataLoader[Any]", optimizer: torch.optim.Optimizer, loss_function: nn.Module
) -> None:
    """One epoch as PyTorch's quickstart tutorial writes it, printing aside."""
    model.train()
    for batch, (images, labels) in enumerate(loader):
        loss = loss_function(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if batch % 100 == 0:
            loss.item()


@contextmanager
def tutorial_data(*more: Callable[[Any], Any]) -> Iterator[datasets.MNIST]:
    """The training images as torchvision gives them, image by image."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "MNIST/raw"
        raw.parent.mkdir()
        raw.symlink_to(paths.RAW.resolve())
        yield datasets.MNIST(folder, transform=transforms.Compose([transforms.ToTensor(), *more]))


def setup_of(model: str, changes: dict[str, Any], seed: int = 0) -> Setup:
    params = with_training(load_params(), model, changes)
    return prepare(params.model_copy(update={"train": params.train.model_copy(update={"seed": seed})}), model, CPU)


def with_first(setup: Setup, count: int) -> Setup:
    few = Examples(setup.train.images[:count], setup.train.labels[:count])
    return replace(setup, train=few, validation=Examples(few.images[:1], few.labels[:1]))


# The time to 99 %


class ExampleNetwork(nn.Module):
    """The network of PyTorch's own MNIST example, examples/mnist/main.py."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
            nn.Flatten(),
            nn.Linear(9216, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.layers(images)
        return result


def to_99() -> dict[str, float]:
    """Seconds of training until 99 % of the validation images are right at the end of an epoch; both are validated."""
    ours = [_ours_to_99(seed) for seed in range(REPEATS)]
    theirs = [_theirs_to_99(seed) for seed in range(3)]
    return {
        "example": statistics.median(theirs),
        "pipeline": statistics.median(ours),
        "ratio": statistics.median(theirs) / statistics.median(ours),
        "runs_of_example": len(theirs),
        "runs_of_pipeline": len(ours),
    }


def _ours_to_99(seed: int) -> float:
    setup = setup_of("lenet", FAST, seed)
    begun = time.perf_counter()
    for epoch in setup.epochs():
        if epoch.validation_accuracy >= 0.99:
            return time.perf_counter() - begun
    raise SystemExit(f"the fast recipe ended at {epoch.validation_accuracy:.2%}")


def _theirs_to_99(seed: int) -> float:
    """Adadelta at 1.0, falling to 0.7 of itself each epoch, in batches of 64: the example's defaults."""
    held_out = setup_of("lenet", FAST, seed).validation
    kept, _ = stratified_split(load_split(paths.RAW, "train").labels, len(held_out), seed)
    torch.manual_seed(seed)
    network = ExampleNetwork()
    optimizer = torch.optim.Adadelta(network.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)
    with tutorial_data(transforms.Normalize((0.1307,), (0.3081,))) as data:
        loader = DataLoader(Subset(data, kept.tolist()), batch_size=64, shuffle=True)
        begun = time.perf_counter()
        for _ in range(14):
            tutorial_epoch(network, loader, optimizer, nn.CrossEntropyLoss())
            schedule.step()
            if measure(Normalized(network), held_out)[1] >= 0.99:
                return time.perf_counter() - begun
    raise SystemExit("PyTorch's example did not reach 99 %")


class Normalized(nn.Module):
    """A network of the example, fed with raw pixels."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.network(((images.float() / 255 - 0.1307) / 0.3081).unsqueeze(1))
        return result


# Growth with the data


def growth() -> dict[str, Any]:
    """Seconds of one epoch, and the most memory of the process, from 6 thousand images to 600 thousand."""
    return {model: {str(size): _grown(model, size) for size in SIZES} for model in MODELS}


def _grown(model: str, size: int) -> dict[str, float]:
    command = [sys.executable, __file__, "grow", model, str(size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def grow(model: str, size: int) -> dict[str, float]:
    """Trains on as many images: the training set, over and over; augmentation makes each of them another."""
    setup = setup_of(model, {"epochs": 2})
    chosen = torch.arange(size) % len(setup.train)
    train = Examples(setup.train.images[chosen], setup.train.labels[chosen])
    setup = replace(setup, train=train)
    first = next(epochs := setup.epochs())  # the first step of a process also chooses kernels
    begun = time.perf_counter()
    assert next(epochs).epoch == first.epoch + 1
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "peak_bytes": peak, "data_bytes": train.images.nbytes + train.labels.nbytes}


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
    """Seconds of the train stage with MLflow and without, in turns, each in a clone of its own; few epochs."""
    return {model: _tracking_of(model) for model in MODELS}


def _tracking_of(model: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", ".", clone], check=True)
        (clone / "data").mkdir(exist_ok=True)
        (clone / "data/raw").symlink_to(paths.RAW.resolve())
        write_training(model, {"epochs": TRACKED_EPOCHS}, clone / "params.yaml")
        works = [partial(_train_in, clone, model, option) for option in ([], ["--without-tracking"])]
        works[0]()  # makes the store, which a project has once
        on, off = median_seconds(*works, repeats=3)
    return {"epochs": TRACKED_EPOCHS, "on": on, "off": off}


def _train_in(clone: Path, model: str, option: list[str]) -> None:
    command = [sys.executable, str(Path(__file__).parent / "timed_stage.py"), *option, "train", model]
    environment = os.environ | {"TIMED_STAGES": os.devnull}
    subprocess.run(command, cwd=clone, env=environment, check=True, stderr=subprocess.DEVNULL)


PARTS: dict[str, Callable[[], Any]] = {
    "loop": loop,
    "compiled": compiled,
    "to_99": to_99,
    "growth": growth,
    "tracking": tracking,
    "pipeline": pipeline,
}


def tables(found: dict[str, Any]) -> dict[str, str]:
    """The tables of the page, by name; those of parts that have been measured."""
    made: dict[str, Callable[[], str]] = {
        "loop": lambda: _loop_table(found["loop"]),
        "peak": lambda: _peak_table(found["loop"]),
        "compiled": lambda: _compiled_table(found["compiled"]),
        "to_99": lambda: _to_99_table(found["to_99"]),
        "growth": lambda: _growth_table(found["growth"]),
        "tracking": lambda: _tracking_table(found["tracking"], found["pipeline"]),
        "pipeline": lambda: _pipeline_table(found["pipeline"]),
        "conditions": lambda: _conditions(found["conditions"]),
    }
    unmeasured = PARTS.keys() - found.keys()
    return {f"speed: {name}": make() for name, make in made.items() if name not in unmeasured}


def _loop_table(found: dict[str, Any]) -> str:
    rows = [
        (model, f"{row['tutorial']:,.0f}", f"{row['pipeline']:,.0f}", f"**{row['ratio']:.1f}**")
        for model, row in found.items()
    ]
    return table(("model", "tutorial's loop, images/s", "this loop, images/s", "ratio"), rows)


def _peak_table(found: dict[str, Any]) -> str:
    rows = [
        (
            model,
            f"{row['operations_per_image'] / 1e6:.2f} million",
            f"{row['matrix_product_rate'] / 1e9:.0f} billion/s",
            f"{row['share_of_peak']:.0%}",
        )
        for model, row in found.items()
    ]
    return table(("model", "operations per image", "rate of a matrix product", "share of it that is reached"), rows)


def _compiled_table(found: dict[str, Any]) -> str:
    rows = [(model, f"{row['plain']:.1f}", f"{row['compiled']:.1f}") for model, row in found.items()]
    return table(("model", "milliseconds a step", "with torch.compile"), rows)


def _to_99_table(found: dict[str, Any]) -> str:
    rows = [
        ("PyTorch's MNIST example", f"{found['example']:.0f}", str(found["runs_of_example"])),
        ("LeNet, the fast recipe", f"{found['pipeline']:.1f}", str(found["runs_of_pipeline"])),
        ("ratio", f"**{found['ratio']:.0f}**", ""),
    ]
    return table(("", "seconds to 99 %", "runs"), rows)


def _growth_table(found: dict[str, Any]) -> str:
    rows = [
        (
            model,
            f"{int(size):,}",
            f"{row['seconds']:.2f}",
            f"{1e6 * row['seconds'] / int(size):.0f}",
            f"{row['peak_bytes'] / 2**20:,.0f} MiB",
            f"{row['data_bytes'] / 2**20:,.0f} MiB",
        )
        for model, sizes in found.items()
        for size, row in sizes.items()
    ]
    columns = ("model", "images", "seconds an epoch", "microseconds an image", "most memory", "of it images and labels")
    return table(columns, rows)


def _conditions(found: dict[str, Any]) -> str:
    return (
        f"{found['threads']} threads on {found['processor']} with {found['instructions']}, Python {found['python']}, "
        f"torch {found['torch']}, mlflow {found['mlflow']}."
    )


def _tracking_table(found: dict[str, Any], whole: dict[str, Any]) -> str:
    """What MLflow costs is nearly all at the beginning and the end, so it is compared to a training of all epochs."""
    seconds = {row["stage"]: row["seconds"] - row["tracking"] for row in whole["stages"]}
    rows = [
        (
            model,
            f"{row['off']:.1f}",
            f"{row['on']:.1f}",
            f"{row['on'] - row['off']:.1f}",
            f"**{(row['on'] - row['off']) / seconds[f'train {model}']:.1%}**",
        )
        for model, row in found.items()
    ]
    columns = ("model", f"{TRACKED_EPOCHS} epochs without", "with MLflow", "difference", "of a training of all epochs")
    return table(columns, rows)


def _pipeline_table(whole: dict[str, Any]) -> str:
    parts = ("startup", "work", "tracking")
    rows = [(row["stage"], *(f"{row[part]:.1f}" for part in (*parts, "seconds"))) for row in whole["stages"]]
    totals = [sum(row[part] for row in whole["stages"]) for part in parts]
    dvc = whole["seconds"] - sum(row["seconds"] for row in whole["stages"])
    rows.append(("DVC itself", f"{dvc:.1f}", "", "", f"{dvc:.1f}"))
    totals[0] += dvc
    rows.append(("all", *(f"{total:.1f}" for total in totals), f"{whole['seconds']:.1f}"))
    rows.append(("share", *(f"{total / whole['seconds']:.0%}" for total in totals), ""))
    return table(("", "start-up", "work", "MLflow", "in all"), rows)


if __name__ == "__main__":
    main()
