"""What the gate catches: MNIST damaged in every way that data go wrong, and undamaged halves of it.

    python benchmarks/gate.py damages [--other FOLDER]
    python benchmarks/gate.py profiled --other FOLDER
    python benchmarks/gate.py halves --count 200
    python benchmarks/gate.py fresh
    python benchmarks/gate.py growth
    python benchmarks/gate.py tables

Each damaged copy of `data/raw` is judged as the stage `validate` would: by the suite of MNIST, and by that which
undamaged MNIST proposes itself. A damage of a share of the images is done to that share of both splits, drawn at
random. `--other` names the files of another data set; `profiled` damages these and judges them by what they propose.
The results go to `benchmarks/results/gate.json`, and `tables` brings the tables of the documentation up to date.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from damages import SLIGHTLY, Splits, cases, clean
from mnist_pipeline import paths
from mnist_pipeline.data.augment import random_distortion
from mnist_pipeline.data.dataset import SPLIT_FILES, Split, stratified_split
from mnist_pipeline.data.idx import format_idx
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import Suite, load_params
from mnist_pipeline.validation.agreement import CONTRADICTED
from mnist_pipeline.validation.expectations import judge
from mnist_pipeline.validation.neighbours import NEAR
from mnist_pipeline.validation.profile import Tables, image_tables, whole_set_facts
from mnist_pipeline.validation.proposal import propose
from report import most_memory, processor, table, write_in_pages

RESULTS = Path(__file__).parent / "results/gate.json"
SIZES = (7_000, 70_000, 700_000)
PART = 10_000
COPIES = 100
FRESH = ((1_000, 300), (5_000, 1_000), (5_000, 5_000), (30_000, 5_000))
PAIRS = 20
UNSEEN = "**not seen**"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("damages", "profiled", "fresh", "halves", "growth", "one", "tables"))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--other", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "damages":
        suites = {"damages": load_params().validate_.suites["mnist"], "profiled": proposed(clean())}
        keep(measured(suites, paths.RAW, arguments.other))
    elif arguments.what == "profiled":
        keep(measured({"profiled other": proposed(clean(arguments.other))}, arguments.other, None))
    elif arguments.what == "halves":
        measure_halves(arguments.count)
    elif arguments.what == "fresh":
        measure_fresh()
    elif arguments.what == "growth":
        measure_growth()
    elif arguments.what == "one":
        measure_one(arguments.other)
    else:
        write_in_pages(tables(json.loads(RESULTS.read_text())))


def measured(suites: Mapping[str, Suite], folder: Path, other: Path | None) -> dict[str, list[dict[str, Any]]]:
    """What each suite finds of each damage; beside the undamaged images, how many labels are doubted, and may be."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in suites}
    for damage, amount, make in cases(folder, other):
        try:
            tables, facts = measure(make(clean(folder)))
            found = {name: list(judged(tables, facts, suite)) for name, suite in suites.items()}
        except PipelineError:
            found = {name: ["a file that cannot be read"] for name in suites}
        for name, suite in suites.items():
            rows[name].append({"damage": damage, "amount": amount, "by": found[name]})
            if damage == "none":
                doubts = tables["train"]["contradiction"] > CONTRADICTED
                allowed = floor(suite.max_contradicted_share * len(doubts))
                rows[name][-1] |= {"doubted": int(doubts.sum()), "allowed": allowed}
        print(damage, amount, found, sep=" | ", flush=True)  # noqa: T201
    return rows


def measure(splits: Splits) -> tuple[Tables, Mapping[str, Any]]:
    tables = image_tables(splits)
    return tables, whole_set_facts(splits, tables)


def proposed(splits: Splits) -> Suite:
    return Suite(**propose(*measure(splits), exact_counts=False))


def measure_halves(count: int) -> None:
    suite = load_params().validate_.suites["mnist"]
    alarms = []
    for seed in range(count):
        halves: Splits = {name: half(split, seed) for name, split in clean().items()}
        counts = {f"{name}_counts": np.bincount(split.labels, minlength=10).tolist() for name, split in halves.items()}
        found = judged(*measure(halves), suite.model_copy(update=counts))
        if found:
            alarms.append({"seed": seed, "by": found})
        print(seed, found, flush=True)  # noqa: T201
    keep({"halves": {"count": count, "alarms": alarms}})


def measure_fresh() -> None:
    """How often a suite that images proposed refuses as many other images of the same data set."""
    rows = []
    for sizes in FRESH:
        refused = []
        for seed in range(PAIRS):
            trusted, other = disjoint(sizes, seed)
            found = judged(*measure(other), proposed(trusted))
            refused += [list(found)] if found else []
            print(sizes, seed, list(found), flush=True)  # noqa: T201
        rows.append({"train": sizes[0], "test": sizes[1], "pairs": PAIRS, "refused": refused})
    keep({"fresh": rows})


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
        with tempfile.TemporaryDirectory() as folder:
            write_many(Path(folder), images)
            command = [sys.executable, __file__, "one", "--other", folder]
            begun = time.perf_counter()
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            seconds = time.perf_counter() - begun
        rows.append({"images": images, "seconds": seconds, **json.loads(done.stdout.splitlines()[-1])})
        print(rows[-1], flush=True)  # noqa: T201
    keep({"growth": {"processor": processor(), "copies": COPIES, "rows": rows}})


def write_many(folder: Path, images: int) -> None:
    """So many images of both splits together, six for training to one for the test, and training images in the test.

    These differ from their originals by one grey level in every pixel.
    """
    splits = clean()
    train, test = of_size(splits["train"], images * 6 // 7), of_size(splits["test"], images // 7)
    chosen = np.linspace(0, len(train) - 1, COPIES).astype(int)
    test.images[:COPIES], test.labels[:COPIES] = (
        SLIGHTLY["all pixels by one grey level"](train.images[chosen]),
        train.labels[chosen],
    )
    for names, split in zip(SPLIT_FILES.values(), (train, test), strict=True):
        for name, content in zip(names, (split.images, split.labels), strict=True):
            (folder / name).write_bytes(format_idx(content))


def measure_one(folder: Path) -> None:
    """Judges the files as the stage does; tells how many of the copies it found, and the memory that it took."""
    tables, facts = measure(clean(folder))
    judged(tables, facts, load_params().validate_.suites["idx"])
    found = int((tables["test"]["nearest"][:COPIES] <= NEAR).sum())
    print(json.dumps({"MiB": most_memory() / 2**20, "found": found}))  # noqa: T201


def of_size(split: Split, count: int) -> Split:
    """As many images of a split, distorted at random where there are not enough."""
    if count <= len(split):
        return split.take(np.arange(count))
    settings = load_params().training("lenet").augmentation.model_dump(exclude={"final_strength"})
    generator = torch.Generator().manual_seed(0)
    images = np.empty((count, *split.images.shape[1:]), np.uint8)
    for start in range(0, count, PART):
        part = np.arange(start, min(start + PART, count))
        images[part] = random_distortion(torch.tensor(split.images[part % len(split)]), generator, **settings).round()
    return Split(images, np.resize(split.labels, count))


def half(split: Split, seed: int) -> Split:
    kept, _ = stratified_split(split.labels, len(split) // 2, seed)
    return split.take(kept)


def judged(tables: Tables, facts: Mapping[str, Any], suite: Suite) -> dict[str, str]:
    """The columns and facts of which an expectation is not met, with what was observed."""
    with tempfile.TemporaryDirectory() as folder:
        failures = judge(tables, facts, suite, Path(folder)).failures
    return {failure.column.split("/")[1 if "/" in failure.column else 0]: failure.observed for failure in failures}


def keep(found: Mapping[str, object]) -> None:
    known: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(known | found, indent=1) + "\n")


def told(rows: list[dict[str, Any]]) -> tuple[str, list[list[str]]]:
    """How many of the damages are caught, and a line for each."""
    undamaged, *damaged = rows
    if undamaged["by"]:
        raise SystemExit(f"undamaged images are refused: {undamaged['by']}")
    caught = sum(bool(row["by"]) for row in damaged)
    lines = [[row["damage"], row["amount"], ", ".join(row["by"][:3]) or UNSEEN] for row in damaged]
    doubts = (
        f"of the undamaged training labels, {undamaged['doubted']} are contradicted and {undamaged['allowed']} may be"
    )
    return f"{caught} of {len(damaged)} are caught, {caught / len(damaged):.0%}; {doubts}", lines


def tables(known: Mapping[str, Any]) -> Mapping[str, str]:
    """Of what has been measured."""
    made = {"damages": damage_table, "fresh": fresh_table, "growth": growth_table}
    made |= {name: partial(profiled_table, name) for name in ("profiled", "profiled other")}
    return {f"gate {name}": make(known) for name, make in made.items()}


def damage_table(known: Mapping[str, Any]) -> str:
    caught, lines = told(known["damages"])
    halves = known["halves"]
    alarms = f"; of {halves['count']} undamaged halves, {len(halves['alarms'])} are refused."
    return f"{caught}{alarms}\n\n{table(('damage', 'amount', 'by'), lines)}"


def profiled_table(name: str, known: Mapping[str, Any]) -> str:
    caught, lines = told(known[name])
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
        cells = [f"{row['seconds']:.0f} s", f"{each:.0f} µs", f"{row['MiB']:,.0f} MiB"]
        lines.append([f"{row['images']:,}", *cells, f"{row['found']:,} of {known['growth']['copies']:,}"])
    return table(("images", "time", "for each", "most memory", "near copies found"), lines)


if __name__ == "__main__":
    main()
