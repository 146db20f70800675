"""What the default parameters reach, what was tried on the way, and what each ingredient is worth.

    python benchmarks/recipe.py lenet --set epochs=30 epochs=30,augmentation.elastic=0.7
    python benchmarks/recipe.py lenet --ablation --seeds 3
    python benchmarks/recipe.py lenet --steps --seeds 3
    python benchmarks/recipe.py lenet --test --seeds 5

Each training is one process with one thread, two at a time; a seed draws the first weights, the validation set, the
order and the augmentation. A line of JSON for each goes to `benchmarks/measured/recipe.jsonl`, which git ignores, with
all parameters; what is known is not trained again. Only `--test` reads the test images, once for each seed, and nothing
here chooses by them. `python benchmarks/recipe.py --publish` adds the lines to `benchmarks/results/recipe.jsonl`, and
brings the tables of the documentation up to date. Before `warmup` was a share of all steps, it was one epoch; lines of
that time name the share of today.
"""

import argparse
import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

from mnist_pipeline import paths
from mnist_pipeline.commands.params_file import with_training
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.params import load_params
from mnist_pipeline.stages.train import PreparedTraining, prepare, subset, training_code_digest
from mnist_pipeline.training.loop import measure
from report import instructions, table, write_in_pages

Rows = Sequence[Mapping[str, Any]]
ACCURACIES = ("validation_accuracy", "test_accuracy")
CONDITIONS = ("code", "instructions")
"""What else weights depend on; the first lines do not name the instructions."""

CPU = torch.device("cpu")
HERE = Path(__file__).parent
MEASURED, RESULTS = HERE / "measured/recipe.jsonl", HERE / "results/recipe.jsonl"
AFFINE = ("rotation", "scale", "shear", "translation")
TUTORIAL: dict[str, Any] = {
    **{"architecture.activation": "relu", "epochs": 5, "batch_size": 64, "precision": "float32", "optimizer": "sgd"},
    **{"learning_rate": 0.001, "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0},
    **{"label_smoothing": 0.0, "ema_decay": 0.0, "augmentation.final_strength": 1.0},
    **{f"augmentation.{name}": 0.0 for name in (*AFFINE, "elastic")},
}
"""The parameters of PyTorch's quickstart tutorial."""
FALLING = ("batch_size", "optimizer", "learning_rate", "momentum", "weight_decay", "schedule", "warmup")
STEPS = {
    "AdamW, with warm-up and a falling learning rate": FALLING,
    "products in bfloat16, where the processor has it": ("precision",),
    "affine distortion": tuple(f"augmentation.{name}" for name in AFFINE),
    "elastic distortion": ("augmentation.elastic",),
    "distortion that fades": ("augmentation.final_strength",),
    "averaged weights": ("ema_decay",),
    "as many epochs as it takes": ("epochs",),
}
INGREDIENTS: dict[str, dict[str, Any]] = {
    "without affine distortion": {f"augmentation.{name}": 0.0 for name in AFFINE},
    "without elastic distortion": {"augmentation.elastic": 0.0},
    "without fading": {"augmentation.final_strength": 1.0},
    "without averaged weights": {"ema_decay": 0.0},
    "without weight decay": {"weight_decay": 0.0},
    "without warm-up": {"warmup": 0.0},
    "with a constant learning rate": {"schedule": "constant"},
    "with label smoothing": {"label_smoothing": 0.05},
    "with a third of the epochs": {},  # of the model's own, below
    "with SGD, learning rate 0.1": {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 5e-4},
}
"""The ingredients, each with what takes it away."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="lenet")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], dest="changes", metavar="KEY=VALUE,…")
    for option in ("--ablation", "--steps", "--test", "--publish"):
        parser.add_argument(option, action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    model = arguments.model
    if arguments.publish:
        with RESULTS.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in read(MEASURED))
        MEASURED.unlink(missing_ok=True)
        write_in_pages(tables())
        return
    variants = list(ablations(model).values()) if arguments.ablation else []
    variants += list(steps(model).values()) if arguments.steps else []
    variants += [parsed(change) for change in arguments.changes]
    known = {identity(row) for row in read(RESULTS) + read(MEASURED) if "test_accuracy" in row or not arguments.test}
    here = {"code": training_code_digest(model)[:8], "instructions": instructions()}
    jobs = []
    for seed in range(arguments.seeds):
        for changes in variants or [{}]:
            job = {"model": model, "recipe": recipe(model, changes), "seed": seed, **here}
            if identity(job) not in known:
                jobs.append((job, arguments.test))
    MEASURED.parent.mkdir(exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(arguments.workers, maxtasksperchild=1) as pool:
        for row in pool.imap_unordered(train, jobs):
            with MEASURED.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row["validation_accuracy"], row.get("test_accuracy"), row["seconds"], flush=True)  # noqa: T201


def parsed(change: str) -> dict[str, Any]:
    """`key=value,key=value` as a mapping; a value is JSON, or else text."""
    pairs = (pair.split("=", 1) for pair in change.split(","))
    return {key: json.loads(value) if value[0] in "0123456789[" else value for key, value in pairs}


def ablations(model: str) -> dict[str, dict[str, Any]]:
    default = recipe(model, {})
    third = {"epochs": default["epochs"] // 3}
    other = "bfloat16" if default["precision"] == "float32" else "float32"
    changed = {name: changes or third for name, changes in INGREDIENTS.items()}
    changed[f"with products in {other}"] = {"precision": other}
    return {name: changes for name, changes in changed.items() if recipe(model, changes) != default}


def steps(model: str) -> dict[str, dict[str, Any]]:
    """The way from the tutorial's parameters to the default ones, each step with all that came before it."""
    default, way = recipe(model, {}), {"the tutorial's recipe": dict(TUTORIAL)}
    for name, keys in STEPS.items():
        before = list(way.values())[-1]
        after = before | {key: default[key] for key in keys}
        if after != before:
            way[name] = after
    return way


def recipe(model: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of `train.<model>`, flat, with some of them changed."""
    section = with_training(load_params(), model, changes).training(model).model_dump()
    nested = {name: section.pop(name) for name in ("architecture", "augmentation")}
    return section | {f"{name}.{key}": value for name, values in nested.items() for key, value in values.items()}


def training_of(model: str, changes: Mapping[str, Any], seed: int = 0, device: torch.device = CPU) -> PreparedTraining:
    params = with_training(load_params(), model, changes)
    return prepare(params.model_copy(update={"train": params.train.model_copy(update={"seed": seed})}), model, device)


def train(job: tuple[dict[str, Any], bool]) -> dict[str, Any]:
    """Train in this process, and add what it reaches."""
    row, test = job
    torch.set_num_threads(1)
    training = training_of(row["model"], row["recipe"], row["seed"])
    begun = time.perf_counter()
    *_, last = training.fit()
    row |= {"validation_accuracy": last["validation_accuracy"], "seconds": round(time.perf_counter() - begun, 1)}
    if test:
        split = load_split(paths.RAW, "test")
        row["test_accuracy"] = measure(training.classifier, subset(split, np.arange(len(split)), CPU))[1]
    return row


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def identity(row: Mapping[str, Any]) -> str:
    return json.dumps([row.get(key) for key in ("model", "recipe", "seed", *CONDITIONS)], sort_keys=True)


def tables() -> dict[str, str]:
    """What the default recipe reaches, what its parts are worth, all that was tried, and the way from the tutorial."""
    kinds = {"reaches": _reached, "without": _ablation, "tried": _tried, "from the tutorial": _way}
    rows = read(RESULTS)
    return {
        f"{model} {name}": make(model, [row for row in rows if row["model"] == model])
        for model in ("lenet", "mlp")
        for name, make in kinds.items()
    }


def _reached(model: str, rows: Rows) -> str:
    tested = [row for row in rows if row["recipe"] == recipe(model, {}) and "test_accuracy" in row]
    lines = []
    for row in sorted(tested, key=lambda row: int(row["seed"])):
        shown = [f"{row[name]:.2%}" for name in ACCURACIES]
        lines.append([str(row["seed"]), *shown, f"{row['seconds']:.0f}"])
    if len(tested) > 1:
        columns = [[100 * row[name] for row in tested] for name in ACCURACIES]
        shown = [f"**{statistics.mean(column):.2f} %** ± {statistics.stdev(column):.2f}" for column in columns]
        lines.append(["mean ± standard deviation", *shown, ""])
    return table(("seed", "validation accuracy", "test accuracy", "seconds, one thread"), lines)


def _ablation(model: str, rows: Rows) -> str:
    """Differences to the default recipe of the same seed, so the same validation images, on a like processor."""
    whole = _by_seed(recipe(model, {}), rows)
    lines = []
    for name, changes in ablations(model).items():
        changed = _by_seed(recipe(model, changes), rows)
        # One of each seed, the last, however many processors it was trained on: they would not be independent
        differences = list({key[0]: 100 * (changed[key] - whole[key]) for key in whole if key in changed}.values())
        if len(differences) > 1:
            mean = statistics.mean(differences)
            reach = student.ppf(0.975, len(differences) - 1) * statistics.stdev(differences) / len(differences) ** 0.5
            interval = f"{mean - reach:+.2f} to {mean + reach:+.2f}"
            lines.append([name, f"{mean:+.2f}", interval, str(len(differences))])
    return table(("", "validation accuracy, points", "95 % interval over the seeds", "seeds"), lines)


def _way(model: str, rows: Rows) -> str:
    """What each step from the tutorial's recipe gains."""
    found = {name: _by_seed(recipe(model, changes), rows) for name, changes in steps(model).items()}
    every = list(found.values())
    common = {key[0]: key for key in every[0] if all(key in accuracies for accuracies in every)}.values()
    lines: list[list[str]] = []
    before = math.nan
    for name, accuracies in found.items():
        mean = 100 * statistics.mean([accuracies[key] for key in common]) if common else math.nan
        lines.append([name, f"{mean:.2f} %", f"{mean - before:+.2f}" if lines else "", str(len(common))])
        before = mean
    return table(("step", "validation accuracy", "gain, points", "seeds"), lines)


def _tried(model: str, rows: Rows) -> str:
    """Every recipe, named by what differs from the default, the best first."""
    default = recipe(model, {})
    lines = []
    for text in {json.dumps(row["recipe"], sort_keys=True) for row in rows}:
        tried = json.loads(text)
        accuracies = _by_seed(tried, rows).values()
        changed = [f"{key.split('.')[-1]} {value}" for key, value in tried.items() if default.get(key) != value]
        lines.append([f"{statistics.mean(accuracies):.2%}", str(len(accuracies)), ", ".join(changed) or "nothing"])
    return table(("validation accuracy", "trainings", "what differs from the default"), sorted(lines, reverse=True))


def _by_seed(wanted: Mapping[str, Any], rows: Rows) -> dict[tuple[Any, ...], float]:
    """The accuracies of a recipe by seed and conditions: only what has both in common is compared."""
    return {
        tuple(row.get(key) for key in ("seed", *CONDITIONS)): row["validation_accuracy"]
        for row in rows
        if row["recipe"] == wanted
    }


if __name__ == "__main__":
    main()
