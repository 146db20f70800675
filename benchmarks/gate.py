"""What the gate catches: MNIST damaged in every way that data go wrong, and undamaged halves of it.

    python benchmarks/gate.py damages [--other FOLDER]
    python benchmarks/gate.py profiled --other FOLDER
    python benchmarks/gate.py halves --count 200
    python benchmarks/gate.py fresh
    python benchmarks/gate.py growth
    python benchmarks/gate.py tables

Each damaged copy of `data/raw` is judged as the stage `validate` would, by the suite of MNIST. A damage of a share of
the images is done to that share of both splits, drawn at random. `--other` names the files of another data set, which
`profiled` damages in the place of MNIST and judges by the suite that they propose themselves. The results go to
`benchmarks/results/gate.json`, and `tables` brings the tables of the documentation up to date.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from damages import Splits, cases, clean
from mnist_pipeline import paths
from mnist_pipeline.data.augment import random_distortion
from mnist_pipeline.data.dataset import Split, stratified_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import Suite, load_params
from mnist_pipeline.validation.expectations import judge
from mnist_pipeline.validation.profile import image_tables, whole_set_facts
from mnist_pipeline.validation.proposal import propose
from report import processor, table, write_in_pages

RESULTS = Path(__file__).parent / "results/gate.json"
SIZES = (7_000, 70_000, 700_000)
PART = 10_000
FRESH = ((1_000, 300), (5_000, 1_000), (30_000, 5_000))
PAIRS = 20
UNSEEN = "**not seen**"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("damages", "profiled", "fresh", "halves", "growth", "one", "tables"))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--images", type=int)
    arguments = parser.parse_args()
    if arguments.what == "damages":
        keep("damages", measured(load_params().validate_.suites["mnist"], paths.RAW, arguments.other))
    elif arguments.what == "profiled":
        keep("profiled", measured(proposed(clean(arguments.other)), arguments.other, None))
    elif arguments.what == "halves":
        measure_halves(arguments.count)
    elif arguments.what == "fresh":
        measure_fresh()
    elif arguments.what == "growth":
        measure_growth()
    elif arguments.what == "one":
        measure_one(arguments.images)
    else:
        write_in_pages(tables())


def measured(suite: Suite, folder: Path, other: Path | None) -> list[dict[str, Any]]:
    rows = []
    for damage, amount, make in cases(folder, other):
        try:
            found = judged(make(clean(folder)), suite)
        except PipelineError as error:
            found = {"a file that cannot be read": str(error)}
        rows.append({"damage": damage, "amount": amount, "by": list(found)})
        print(damage, amount, list(found), sep=" | ", flush=True)  # noqa: T201
    return rows


def proposed(splits: Splits) -> Suite:
    tables = image_tables(splits)
    return Suite(**propose(tables, whole_set_facts(splits, tables), exact_counts=False))


def measure_halves(count: int) -> None:
    suite = load_params().validate_.suites["mnist"]
    alarms = []
    for seed in range(count):
        halves: Splits = {name: half(split, seed) for name, split in clean().items()}
        counts = {f"{name}_counts": np.bincount(split.labels, minlength=10).tolist() for name, split in halves.items()}
        found = judged(halves, suite.model_copy(update=counts))
        if found:
            alarms.append({"seed": seed, "by": found})
        print(seed, found, flush=True)  # noqa: T201
    keep("halves", {"count": count, "alarms": alarms})


def measure_fresh() -> None:
    """How often a suite that images proposed refuses as many other images of the same data set."""
    rows = []
    for sizes in FRESH:
        refused = []
        for seed in range(PAIRS):
            trusted, other = disjoint(sizes, seed)
            found = judged(other, proposed(trusted))
            refused += [list(found)] if found else []
            print(sizes, seed, list(found), flush=True)  # noqa: T201
        rows.append({"train": sizes[0], "test": sizes[1], "pairs": PAIRS, "refused": refused})
    keep("fresh", rows)


def disjoint(sizes: tuple[int, int], seed: int) -> tuple[Splits, Splits]:
    """Two draws of so many training and test images that have none in common, with the same share of each class."""
    first: Splits = {}
    second: Splits = {}
    for (name, split), size in zip(clean().items(), sizes, strict=True):
        both = split.take(stratified_split(split.labels, 2 * size, seed)[1]) if 2 * size < len(split) else split
        one, other = stratified_split(both.labels, size, seed)
        first[name], second[name] = both.take(one), both.take(other)
    return first, second


def measure_growth() -> None:
    rows = []
    for images in SIZES:
        command = [sys.executable, __file__, "one", "--images", str(images)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)  # noqa: T201
    keep("growth", {"processor": processor(), "rows": rows})


def measure_one(images: int) -> None:
    """Judges so many images of both splits together, six for training to one for the test; tells what it took."""
    splits: Splits = {
        name: of_size(split, images * share // 7) for (name, split), share in zip(clean().items(), (6, 1), strict=True)
    }
    suite, before = load_params().validate_.suites["idx"], peak_memory()
    begun = time.perf_counter()
    judged(splits, suite)
    seconds, memory = time.perf_counter() - begun, peak_memory()
    print(json.dumps({"images": images, "seconds": seconds, "MiB": memory, "MiB before": before}))  # noqa: T201


def of_size(split: Split, count: int) -> Split:
    """As many images of a split, distorted at random where there are not enough."""
    if count <= len(split):
        return split.take(np.arange(count))
    settings = load_params().training("lenet").augmentation.model_dump()
    generator = torch.Generator().manual_seed(0)
    images = np.empty((count, *split.images.shape[1:]), np.uint8)
    for start in range(0, count, PART):
        part = np.arange(start, min(start + PART, count))
        images[part] = random_distortion(torch.tensor(split.images[part % len(split)]), generator, **settings).round()
    return Split(images, np.resize(split.labels, count))


def peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def half(split: Split, seed: int) -> Split:
    kept, _ = stratified_split(split.labels, len(split) // 2, seed)
    return split.take(kept)


def judged(splits: Splits, suite: Suite) -> dict[str, str]:
    """The columns and facts of which an expectation is not met, with what was observed."""
    tables = image_tables(splits)
    with tempfile.TemporaryDirectory() as folder:
        failures = judge(tables, whole_set_facts(splits, tables), suite, Path(folder)).failures
    return {failure.column.split("/")[1 if "/" in failure.column else 0]: failure.observed for failure in failures}


def keep(name: str, value: object) -> None:
    known: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(known | {name: value}, indent=1) + "\n")


def told(rows: list[dict[str, Any]]) -> tuple[str, list[list[str]]]:
    """How many of the damages are caught, and a line for each."""
    damaged = [row for row in rows if row["damage"] != "none"]
    caught = sum(bool(row["by"]) for row in damaged)
    lines = [[row["damage"], row["amount"], ", ".join(row["by"][:3]) or UNSEEN] for row in damaged]
    return f"{caught} of {len(damaged)} are caught, {caught / len(damaged):.0%}", lines


def tables() -> Mapping[str, str]:
    """Of what has been measured."""
    known = json.loads(RESULTS.read_text())
    made = {"damages": damage_table, "profiled": profiled_table, "fresh": fresh_table, "growth": growth_table}
    return {f"gate {name}": make(known) for name, make in made.items() if name in known}


def damage_table(known: Mapping[str, Any]) -> str:
    caught, lines = told(known["damages"])
    halves = known["halves"]
    alarms = f"; of {halves['count']} undamaged halves, {len(halves['alarms'])} are refused."
    return f"{caught}{alarms}\n\n{table(('damage', 'amount', 'by'), lines)}"


def profiled_table(known: Mapping[str, Any]) -> str:
    caught, lines = told(known["profiled"])
    unseen: dict[str, list[str]] = {}
    for damage, amount, by in lines:
        if by == UNSEEN:
            unseen.setdefault(damage, []).append(amount)
    return f"{caught}; not seen:\n\n" + table(
        ("damage", "amounts"), [[name, ", ".join(unseen[name])] for name in unseen]
    )


def fresh_table(known: Mapping[str, Any]) -> str:
    lines = [
        [f"{row['train']:,}", f"{row['test']:,}", f"{len(row['refused'])} of {row['pairs']}"] for row in known["fresh"]
    ]
    return table(("training images", "test images", "refused"), lines)


def growth_table(known: Mapping[str, Any]) -> str:
    lines = []
    for row in known["growth"]["rows"]:
        each = 1e6 * row["seconds"] / row["images"]
        lines.append([f"{row['images']:,}", f"{row['seconds']:.0f} s", f"{each:.0f} µs", f"{row['MiB']:,.0f} MiB"])
    return table(("images", "time", "for each", "most memory"), lines)


if __name__ == "__main__":
    main()
