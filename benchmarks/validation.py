"""What data validation catches: MNIST damaged in every way that data go wrong, and undamaged parts of it.

    python benchmarks/validation.py damages [--other FOLDER]
    python benchmarks/validation.py profiled --other FOLDER
    python benchmarks/validation.py halves --count 200
    python benchmarks/validation.py fresh
    python benchmarks/validation.py growth
    python benchmarks/validation.py publish

Each damaged copy of `data/raw` is checked as the stage `validate` does: against the suite of MNIST, and against that
which `profile` writes for undamaged MNIST. A damage of a share of the images is done to that share of both splits,
drawn at random. `--other` names the files of another data set; `profiled` damages these and checks them against their
own profile. Results go to `benchmarks/measured/validation.json`, which git ignores; `publish` copies them to
`benchmarks/results` and into the tables of the documentation.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from damages import SLIGHTLY, Splits, cases, clean
from mnist_pipeline import paths
from mnist_pipeline.data.augment import random_distortion
from mnist_pipeline.data.dataset import SPLITS, Split, validation_split
from mnist_pipeline.data.idx import format_idx
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import load_params
from mnist_pipeline.validation.duplicates import NEAR
from mnist_pipeline.validation.expectations import check
from mnist_pipeline.validation.labels import CONTRADICTED
from mnist_pipeline.validation.proposal import propose
from mnist_pipeline.validation.statistics import Tables, image_tables, whole_set_facts
from mnist_pipeline.validation.suite import Suite, load_suite
from report import most_memory, processor, table, write_in_pages

MEASURED = Path(__file__).parent / "measured/validation.json"
PUBLISHED = Path(__file__).parent / "results/validation.json"
SIZES = (7_000, 70_000, 700_000)
PART = 10_000
COPIES = 100
FRESH = ((1_000, 300), (5_000, 1_000), (5_000, 5_000), (30_000, 5_000))
PAIRS = 20
DIGITS = list("0123456789")
UNSEEN = "**not seen**"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("damages", "profiled", "fresh", "halves", "growth", "one", "publish"))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--other", type=Path)
    arguments = parser.parse_args()
    mnist = load_suite(paths.SUITES / "mnist.yaml")
    measurements: dict[str, Callable[[], Mapping[str, Any]]] = {
        "damages": lambda: caught({"damages": mnist, "profiled": proposed(clean())}, paths.RAW, arguments.other),
        "profiled": lambda: caught({"profiled other": proposed(clean(arguments.other))}, arguments.other, None),
        "halves": lambda: {"halves": {"count": arguments.count, "alarms": alarms_of_halves(arguments.count, mnist)}},
        "fresh": lambda: {"fresh": [alarms_of_fresh(*sizes) for sizes in FRESH]},
        "growth": lambda: {"growth": {"processor": processor(), "copies": COPIES, "rows": list(map(grown, SIZES))}},
    }
    if arguments.what == "one":  # as the stage does: how many of the copies it finds, and the memory that it takes
        image, facts = measure(clean(arguments.other))
        failures(image, facts, load_suite(paths.SUITES / "any.yaml"))
        found = int((image["test"]["nearest"][:COPIES] <= NEAR).sum())
        print(json.dumps({"MiB": most_memory() / 2**20, "found": found}))  # noqa: T201
    elif arguments.what == "publish":
        PUBLISHED.write_text(json.dumps(known(PUBLISHED) | known(MEASURED), indent=1) + "\n")
        write_in_pages(tables(known(PUBLISHED)))
    else:
        MEASURED.parent.mkdir(exist_ok=True)
        MEASURED.write_text(json.dumps(known(MEASURED) | measurements[arguments.what](), indent=1) + "\n")


def measure(splits: Splits) -> tuple[Tables, Mapping[str, Any]]:
    image = image_tables(splits)
    return image, whole_set_facts(splits, image)


def proposed(splits: Splits) -> Suite:
    return Suite(**propose(*measure(splits), classes=10, of_strokes=True, exact_counts=False))


def failures(image: Tables, facts: Mapping[str, Any], by: Suite) -> list[str]:
    """The columns and facts of which an expectation is not met."""
    with tempfile.TemporaryDirectory() as folder:
        columns = [
            failure.column.removeprefix("train/") for failure in check(image, facts, by, DIGITS, Path(folder))[1]
        ]
    return list(dict.fromkeys(column.removeprefix("test/").partition("/")[0] for column in columns))


def caught(suites: Mapping[str, Suite], folder: Path, other: Path | None) -> dict[str, list[dict[str, Any]]]:
    """What each suite finds of each damage; beside the undamaged images, how many labels are contradicted."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in suites}
    for damage, amount, make in cases(folder, other):
        try:
            image, facts = measure(make(clean(folder)))
            found = {name: failures(image, facts, by) for name, by in suites.items()}
        except PipelineError:
            found = {name: ["a file that cannot be read"] for name in suites}
        for name, by in suites.items():
            rows[name].append({"damage": damage, "amount": amount, "by": found[name]})
            if damage == "none":
                contradicted = image["train"]["contradiction"] > CONTRADICTED
                allowed = floor(by.max_contradicted_share * len(contradicted))
                rows[name][-1] |= {"contradicted": int(contradicted.sum()), "allowed": allowed}
        print(damage, amount, found, sep=" | ", flush=True)  # noqa: T201
    return rows


def alarms_of_halves(count: int, mnist: Suite) -> list[dict[str, Any]]:
    """Halves of MNIST in which an expectation is not met, though half the exact counts are."""
    alarms = []
    for seed in range(count):
        halves = {name: split.take(validation_split(split.labels, 0.5, seed)[0]) for name, split in clean().items()}
        counts = {f"{name}_counts": np.bincount(split.labels, minlength=10).tolist() for name, split in halves.items()}
        found = failures(*measure(halves), mnist.model_copy(update=counts))
        alarms += [{"seed": seed, "by": found}] if found else []
    return alarms


def alarms_of_fresh(train: int, test: int) -> dict[str, Any]:
    """How often as many other images of MNIST fail the suite that some images propose."""
    failed = []
    for seed in range(PAIRS):
        trusted, others = {}, {}
        for (name, split), size in zip(clean().items(), (train, test), strict=True):
            both = split.take(validation_split(split.labels, min(1, 2 * size / len(split)), seed)[1])
            one, other = validation_split(both.labels, 0.5, seed)
            trusted[name], others[name] = both.take(one), both.take(other)
        found = failures(*measure(others), proposed(trusted))
        failed += [found] if found else []
    return {"train": train, "test": test, "pairs": PAIRS, "failed": failed}


def grown(images: int) -> dict[str, Any]:
    """Time and memory for so many images of both splits, six for training to one for the test.

    Some of the test images are training images in which every pixel differs by one grey level.
    """
    splits = clean()
    train, test = of_size(splits["train"], images * 6 // 7), of_size(splits["test"], images // 7)
    chosen = np.linspace(0, len(train) - 1, COPIES).astype(int)
    test.images[:COPIES] = SLIGHTLY["all pixels by one grey level"](train.images[chosen])
    test.labels[:COPIES] = train.labels[chosen]
    with tempfile.TemporaryDirectory() as folder:
        for start, split in zip(SPLITS.values(), (train, test), strict=True):
            (Path(folder) / f"{start}-images-idx3-ubyte").write_bytes(format_idx(split.images[..., 0]))
            (Path(folder) / f"{start}-labels-idx1-ubyte").write_bytes(format_idx(split.labels.astype(np.uint8)))
        begun = time.perf_counter()
        command = [sys.executable, __file__, "one", "--other", folder]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.perf_counter() - begun
    return {"images": images, "seconds": seconds, **json.loads(done.stdout.splitlines()[-1])}


def of_size(split: Split, count: int) -> Split:
    """As many images of a split, distorted at random where there are not enough."""
    settings = load_params().training("lenet").augmentation.model_dump(exclude={"final_strength"})
    generator = torch.Generator().manual_seed(0)
    images = np.resize(split.images, (count, *split.images.shape[1:]))
    for start in range(0, count, PART) if count > len(split) else ():
        part = torch.tensor(images[start : start + PART])
        images[start : start + PART] = random_distortion(part, generator, **settings).round()
    return Split(images, np.resize(split.labels, count))


def known(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def tables(results: Mapping[str, Any]) -> Mapping[str, str]:
    """The Markdown of each table of the documentation."""
    halves = results["halves"]
    summary, lines = summarised(results["damages"])
    alarms = f"of {halves['count']} undamaged halves, {len(halves['alarms'])} fail."
    made = {"damages": f"{summary}; {alarms}\n\n{table(('damage', 'amount', 'by'), lines)}"}
    for name in ("profiled", "profiled other"):
        summary, lines = summarised(results[name])
        unseen: dict[str, list[str]] = {}
        for damage, amount, by in lines:
            if by == UNSEEN:
                unseen.setdefault(damage, []).append(amount)
        rows = [[damage, ", ".join(amounts)] for damage, amounts in unseen.items()]
        made[name] = f"{summary}; not seen:\n\n{table(('damage', 'amounts'), rows)}"
    lines = [
        [f"{row['train']:,}", f"{row['test']:,}", f"{len(row['failed'])} of {row['pairs']}"] for row in results["fresh"]
    ]
    made["fresh"] = table(("training images", "test images", "failed"), lines)
    lines = []
    for row in results["growth"]["rows"]:
        each, found = 1e6 * row["seconds"] / row["images"], f"{row['found']:,} of {results['growth']['copies']:,}"
        lines.append(
            [f"{row['images']:,}", f"{row['seconds']:.0f} s", f"{each:.0f} µs", f"{row['MiB']:,.0f} MiB", found]
        )
    made["growth"] = table(("images", "time", "for each", "most memory", "near copies found"), lines)
    return {f"validation {name}": text for name, text in made.items()}


def summarised(rows: list[dict[str, Any]]) -> tuple[str, list[list[str]]]:
    """How many of the damages are caught, and a line for each."""
    undamaged, *damaged = rows
    if undamaged["by"]:
        raise SystemExit(f"undamaged images fail: {undamaged['by']}")
    count = sum(bool(row["by"]) for row in damaged)
    lines = [[row["damage"], row["amount"], ", ".join(row["by"][:3]) or UNSEEN] for row in damaged]
    labels = f"of the training labels, {undamaged['contradicted']} are contradicted and {undamaged['allowed']} may be"
    return f"{count} of {len(damaged)} are caught, {count / len(damaged):.0%}; {labels}", lines


if __name__ == "__main__":
    main()
