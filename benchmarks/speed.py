"""How fast training is, beside what others would do; everything side by side in one run, as ratios of medians.

    make bench

prints tables and writes `benchmarks/measured/speed.json`, which git ignores; `python benchmarks/speed.py loop to_99`
measures only what it names. `python benchmarks/speed.py --publish` makes the measured numbers those of the
documentation: it takes them into `benchmarks/results/speed.json` and into the pages.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as `mnist-pipeline` does, before OpenMP loads

import torch
from torch.nn.functional import cross_entropy

from mnist_pipeline import paths
from mnist_pipeline.commands.params_file import write_values
from mnist_pipeline.stages.train import PreparedTraining
from mnist_pipeline.training.devices import choose_device, choose_precision
from mnist_pipeline.training.loop import ImageSubset
from recipe import CPU, TUTORIAL, training_of
from report import instructions, most_memory, processor, write_in_pages
from rivals import EPOCHS, IMAGES
from speed_tables import tables

HERE = Path(__file__).parent
MEASURED, RESULTS = HERE / "measured/speed.json", HERE / "results/speed.json"
MODELS = ("lenet", "mlp")
REPEATS = 5
FAST = {"epochs": 4, "ema_decay": 0.98, "augmentation.elastic": 0.0}
"""LeNet at 99 % soon: the default parameters over four epochs, and an average that is as much shorter."""
TRACKED_EPOCHS, TRACKED_RUNS = 2, 7
SIZES = (6_000, 60_000, 600_000)
RUNS_OF_EXAMPLE = 3
SPINS = ("0", "300", "3000", "30000", "300000")


def main() -> None:
    wanted = sys.argv[1:] or [*OF_EACH_MODEL, *OF_ALL]
    if wanted == ["--publish"]:
        RESULTS.write_bytes(MEASURED.read_bytes())
        write_in_pages(tables(json.loads(RESULTS.read_text())))
        return
    if wanted[0] in IN_A_PROCESS_OF_THEIR_OWN:
        sys.stdout.write(json.dumps(IN_A_PROCESS_OF_THEIR_OWN[wanted[0]](*wanted[1:])))
        return
    MEASURED.parent.mkdir(exist_ok=True)
    found = json.loads((MEASURED if MEASURED.exists() else RESULTS).read_text())
    for name in wanted:
        print(f"measuring {name}", flush=True)  # noqa: T201
        found[name] = OF_ALL[name]() if name in OF_ALL else {model: OF_EACH_MODEL[name](model) for model in MODELS}
        found["conditions"] = {
            "processor": processor(),
            "instructions": instructions(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "mlflow": version("mlflow"),
        }
        MEASURED.write_text(json.dumps(found, indent=2) + "\n")
    sys.stdout.write("\n\n".join(tables(found).values()) + "\n")


def medians(works: Mapping[str, Callable[[], float]], repeats: int = REPEATS) -> dict[str, float]:
    """The median of what each returns, taken in turns, so that what else the machine does affects all of them."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            found[name].append(work())
    return {name: statistics.median(values) for name, values in found.items()}


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def in_a_process(*command: str, environment: Mapping[str, str | None] | None = None) -> Any:
    """What a script of this folder prints; `None` leaves a variable out of its environment."""
    changed = {**os.environ, **(environment or {})}
    kept = {name: value for name, value in changed.items() if value is not None}
    script = [sys.executable, str(HERE / command[0]), *command[1:]]
    return json.loads(subprocess.run(script, env=kept, stdout=subprocess.PIPE, check=True, text=True).stdout)


def with_images(training: PreparedTraining, indices: torch.Tensor) -> PreparedTraining:
    train = replace(training.train, indices=training.train.indices[indices])
    return replace(training, train=train, validation=replace(train, indices=train.indices[:1]))


# The loop: images a second


def loop(model: str) -> dict[str, float]:
    """This pipeline's loop against the tutorial's: the same network, batch size and optimiser, no augmentation."""
    works = {"tutorial": partial(in_a_process, "rivals.py", "tutorial", model, environment={"GOMP_SPINCOUNT": None})}
    precisions = ["float32"]
    if choose_precision("auto", CPU) == torch.bfloat16:
        precisions.append("bfloat16")  # elsewhere it is emulated, which takes minutes
    for name in precisions:
        works[name] = partial(in_a_process, "speed.py", "rate", model, name)
        works[f"{name}_bare"] = partial(in_a_process, "speed.py", "bare", model, name)
    return medians(works)


def rate(model: str, precision: str) -> float:
    """Images a second with the tutorial's parameters; the first epoch, which also chooses kernels, is left out."""
    training = training_of(model, TUTORIAL | {"epochs": EPOCHS, "precision": precision})
    epochs = with_images(training, torch.arange(IMAGES)).fit()
    next(epochs)
    return IMAGES / statistics.median([seconds(lambda: next(epochs)) for _ in range(1, EPOCHS)])


def bare(model: str, precision: str) -> float:
    """Images a second of a loop that does nothing: forward and backward of one batch that is ready, no optimiser."""
    steps = bare_steps(training_of(model, TUTORIAL | {"precision": precision}), IMAGES)
    steps()
    return IMAGES / statistics.median([seconds(steps) for _ in range(REPEATS)])


def bare_steps(training: PreparedTraining, images: int) -> Callable[[], None]:
    """What takes one batch that is ready forward and backward, until so many images are done."""
    network, precision = training.classifier.network, training.precision
    pixels, labels = training.train.take(torch.arange(training.settings.batch_size))
    ready = pixels.movedim(3, 1) / 255  # [N, channels, height, width]

    def steps() -> None:
        for _ in range(images // len(labels)):
            network.zero_grad()
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                loss = cross_entropy(network(ready), labels)
            loss.backward()

    return steps


def waiting(model: str) -> dict[str, float]:
    """Images a second by how long a thread of OpenMP waits busily for work before it sleeps."""
    rates = {
        spins: partial(in_a_process, "speed.py", "rate", model, "auto", environment={"GOMP_SPINCOUNT": spins})
        for spins in SPINS
    }
    return medians(rates, repeats=3)


# The time to 99 %, and growth with the data


def to_99() -> dict[str, float]:
    """Seconds of training until 99 % of the validation images are right at the end of an epoch; both are validated."""
    ours = [in_a_process("speed.py", "fast", str(seed)) for seed in range(REPEATS)]
    alone = {"GOMP_SPINCOUNT": None}
    theirs = [in_a_process("rivals.py", "example", str(seed), environment=alone) for seed in range(RUNS_OF_EXAMPLE)]
    example, pipeline = statistics.median(theirs), statistics.median(ours)
    runs = {"runs_of_example": len(theirs), "runs_of_pipeline": len(ours)}
    return {"example": example, "pipeline": pipeline, "ratio": example / pipeline, **runs}


def fast(seed: str) -> float:
    """Seconds to 99 % with the fast parameters, on a GPU where there is one."""
    training = training_of("lenet", FAST, int(seed), choose_device("train.device", "auto"))
    begun = time.perf_counter()
    for row in training.fit():
        if row["validation_accuracy"] >= 0.99:
            return time.perf_counter() - begun
    raise SystemExit(f"the fast parameters ended at {row['validation_accuracy']:.2%}")


def growth(model: str) -> dict[str, Any]:
    """Seconds of one epoch, and the most memory of the process, from 6 thousand images to 600 thousand."""
    return {str(size): in_a_process("speed.py", "grow", model, str(size)) for size in SIZES}


def grow(model: str, size: str) -> dict[str, float]:
    """Trains on as many images: the training set, over and over; augmentation makes each of them another."""
    training = training_of(model, {"epochs": 2})
    images, labels = training.train.take(torch.arange(int(size)) % len(training.train))  # which are a copy
    training = replace(training, train=ImageSubset(images, labels, torch.arange(int(size))))
    epochs = training.fit()
    next(epochs)  # the first step of a process also chooses kernels
    spent, data_bytes = seconds(lambda: next(epochs)), training.train.images.nbytes + training.train.labels.nbytes
    return {"seconds": spent, "peak_bytes": most_memory(), "data_bytes": data_bytes}


# The whole pipeline


def pipeline() -> dict[str, Any]:
    """Where the seconds of a first `make repro` go, in a clone that has the data."""
    with clone_of_this() as clone:
        stages = clone.parent / "stages.jsonl"
        timed = f"{sys.executable} {HERE / 'timed_stage.py'}"
        for name, old, new in (
            ("params.yaml", "source: auto", f"source: {paths.RAW.resolve()}"),
            ("dvc.yaml", "python src/mnist_pipeline", timed),
        ):
            (clone / name).write_text((clone / name).read_text().replace(old, new))
        environment = os.environ | {"TIMED_STAGES": str(stages)}

        def run() -> None:
            for command in ("dvc repro", f"{timed} results", f"{timed} sync --if-changed"):
                subprocess.run(command.split(), cwd=clone, env=environment, stdout=subprocess.DEVNULL, check=True)

        return {"seconds": seconds(run), "stages": [json.loads(line) for line in stages.read_text().splitlines()]}


def tracking(model: str) -> dict[str, float]:
    """Seconds of the train stage with MLflow and without, in turns, in a clone; few epochs, for they cost no more."""
    with clone_of_this() as clone:
        for place in (paths.RAW, paths.VALIDATION):
            (clone / place).parent.mkdir(exist_ok=True)
            (clone / place).symlink_to(place.resolve())
        write_values(f"train.{model}", {"epochs": TRACKED_EPOCHS}, clone / "params.yaml")

        def train(*option: str) -> float:
            command = [sys.executable, str(HERE / "timed_stage.py"), *option, "train", model]
            environment = os.environ | {"TIMED_STAGES": os.devnull}
            return seconds(lambda: subprocess.run(command, cwd=clone, env=environment, check=True, capture_output=True))

        train()  # makes the store, which a project has once
        found = medians({"on": train, "off": partial(train, "--without-tracking")}, repeats=TRACKED_RUNS)
    return {"epochs": TRACKED_EPOCHS, **found}


@contextmanager
def clone_of_this() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", ".", clone], check=True)
        yield clone


OF_EACH_MODEL = {part.__name__: part for part in (loop, waiting, growth, tracking)}
OF_ALL = {"to_99": to_99, "pipeline": pipeline}
IN_A_PROCESS_OF_THEIR_OWN: dict[str, Callable[..., Any]] = {"rate": rate, "bare": bare, "fast": fast, "grow": grow}


if __name__ == "__main__":
    main()
