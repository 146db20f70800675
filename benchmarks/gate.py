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
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, zoom

from mnist_pipeline import paths
from mnist_pipeline.data import catalog
from mnist_pipeline.data.augment import random_distortion
from mnist_pipeline.data.dataset import SPLIT_FILES, Split, SplitName, load_split, stratified_split
from mnist_pipeline.data.idx import format_idx
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import Suite, load_params
from mnist_pipeline.validation.expectations import judge
from mnist_pipeline.validation.profile import image_tables, whole_set_facts
from mnist_pipeline.validation.proposal import propose
from report import processor, table, write_in_pages

RESULTS = Path(__file__).parent / "results/gate.json"
Splits = dict[SplitName, Split]
Change = Callable[[np.ndarray], np.ndarray]
SIZES = (7_000, 70_000, 700_000)
PART = 10_000
FRESH = ((1_000, 300), (5_000, 1_000), (30_000, 5_000))
PAIRS = 20
UNSEEN = "**not seen**"
SHARES = {"all": 1.0, "1 %": 0.01, "0.1 %": 0.001}
random = np.random.default_rng(0)
FIRST = np.arange(10_000)


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


def clean(folder: Path = paths.RAW) -> Splits:
    return {name: load_split(folder, name) for name in SPLIT_FILES}


def cases(folder: Path, other: Path | None) -> Iterator[tuple[str, str, Callable[[Splits], Splits]]]:
    """Each damage, its amount, and what does it to clean data."""
    yield "none", "", lambda splits: splits
    yield from label_cases()
    for name, change in CHANGES.items():
        for amount, share in SHARES.items():
            yield name, amount, partial(change_images, change, share)
    yield from set_cases()
    yield from file_cases(folder)
    if other:
        yield "another data set", "all", lambda splits: {name: load_split(other, name) for name in splits}


def label_cases() -> Iterator[tuple[str, str, Callable[[Splits], Splits]]]:
    for name in ("train", "test"):
        for share in (0.002, 0.005, 0.01, 0.05):
            yield f"labels exchanged at random, {name}", f"{share:.1%}", partial(relabel, name, partial(mix, share))
        yield f"4 and 9 exchanged, {name}", "all", partial(relabel, name, exchange)
        yield f"labels of the next image, {name}", "all", partial(relabel, name, lambda labels: np.roll(labels, 1))
        yield f"labels of the next image, {name}", "last 1 %", partial(relabel, name, roll_the_end)
        yield f"every 9 labelled 4, {name}", "all", partial(relabel, name, without_nines)
        yield f"a label beyond the classes, {name}", "1 image", partial(relabel, name, one_beyond)
        yield f"labels from 1 to 10, {name}", "all", partial(relabel, name, lambda labels: labels + 1)


def relabel(name: SplitName, change: Change, splits: Splits) -> Splits:
    return splits | {name: Split(splits[name].images, change(splits[name].labels).astype(np.uint8))}


def mix(share: float, labels: np.ndarray) -> np.ndarray:
    """Exchanges the labels of some images among them, which leaves all counts as they are."""
    chosen = random.permutation(len(labels))[: round(share * len(labels))]
    mixed = labels.copy()
    mixed[chosen] = np.roll(labels[chosen], 1)
    return mixed


def exchange(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == 4, 9, np.where(labels == 9, 4, labels))


def without_nines(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == 9, 4, labels)


def roll_the_end(labels: np.ndarray) -> np.ndarray:
    start = len(labels) * 99 // 100
    return np.concatenate([labels[:start], np.roll(labels[start:], 1)])


def one_beyond(labels: np.ndarray) -> np.ndarray:
    changed = labels.copy()
    changed[len(labels) // 2] = 10
    return changed


def change_images(change: Change, share: float, splits: Splits) -> Splits:
    result: Splits = {}
    for name, split in splits.items():
        images, chosen = split.images.copy(), random.permutation(len(split))[: round(share * len(split))]
        images[chosen] = np.clip(change(images[chosen]), 0, 255).round()
        result[name] = Split(images, split.labels)
    return result


def shrink(images: np.ndarray) -> np.ndarray:
    smaller = np.zeros_like(images)
    for place, image in enumerate(images):
        smaller[place, 3:25, 3:25] = np.clip(zoom(image.astype(float), 22 / 28, order=1), 0, 255)
    return smaller


def patch(images: np.ndarray) -> np.ndarray:
    marked = images.copy()
    marked[:, 24:27, 24:27] = 255
    return marked


CHANGES: dict[str, Change] = {
    "inverted": lambda images: 255 - images,
    "turned by 90°": lambda images: np.rot90(images, axes=(1, 2)),
    "upside down": lambda images: np.rot90(images, 2, axes=(1, 2)),
    "mirrored": lambda images: images[:, :, ::-1],
    "transposed": lambda images: images.transpose(0, 2, 1),
    "blank": np.zeros_like,
    "of one grey": lambda images: np.full_like(images, 90),
    "noise of 20 grey levels": lambda images: images + random.normal(0, 20, images.shape),
    "salt and pepper, 1 % of the pixels": lambda images: np.where(random.random(images.shape) < 0.01, 255, images),
    "blurred by 1 pixel": lambda images: gaussian_filter(images.astype(float), (0, 1, 1)),
    "of two grey levels": lambda images: np.where(images > 127, 255, 0),
    "of 16 grey levels": lambda images: images // 17 * 17,
    "at 80 % of the contrast": lambda images: images * 0.8,
    "brighter by one grey level": lambda images: images + 1.0,
    "shrunk to 22 pixels": shrink,
    "shifted by 2 pixels": lambda images: np.roll(images, 2, axis=2),
    "lower half black": lambda images: np.where(np.arange(28)[:, None] < 14, images, 0),
    "one row lost": lambda images: np.where(np.arange(28)[:, None] != 14, images, 0),
    "pixels in another order": lambda images: images.reshape(len(images), -1)[:, order()].reshape(images.shape),
}


def order() -> np.ndarray:
    return np.random.default_rng(1).permutation(784)


def set_cases() -> Iterator[tuple[str, str, Callable[[Splits], Splits]]]:
    for count in (1, 100):
        yield "images twice in train", f"{count}", partial(repeat, "train", "train", count, lambda images: images)
        yield "images twice in test", f"{count}", partial(repeat, "test", "test", count, lambda images: images)
        for name, change in SLIGHTLY.items():
            yield f"test images in train, {name}", f"{count}", partial(repeat, "test", "train", count, change)
    for share in (1, 0.1, 0.01):
        yield "a white corner on the 3s", f"{share:.0%} of them", partial(mark, share)
    yield "half of the 5s lost, train", "half", partial(lose, 0.5)
    yield "one image lost, train", "1 image", partial(lose, 1 / 5421)
    yield "no 5 in train", "all", partial(lose, 1)
    yield "train and test exchanged", "all", lambda splits: {"train": splits["test"], "test": splits["train"]}
    yield (
        "first 10,000 of train as test",
        "all",
        lambda splits: splits | {"test": splits["train"].take(np.arange(10_000))},
    )
    yield (
        "cropped to 24 pixels",
        "all",
        lambda splits: {
            name: Split(split.images[:, 2:26, 2:26].copy(), split.labels) for name, split in splits.items()
        },
    )


SLIGHTLY: dict[str, Change] = {
    "the same": lambda images: images,
    "one pixel by one grey level": lambda images: images ^ (np.arange(784).reshape(28, 28) == 400).astype(np.uint8),
    "all pixels by one grey level": lambda images: np.where(images < 255, images + 1, 254),
    "moved by one pixel": lambda images: np.roll(images, 1, axis=1),
}


def repeat(source: SplitName, target: SplitName, count: int, change: Change, splits: Splits) -> Splits:
    """Images of one split, in the places of as many of their labels in the other, so that all counts stay."""
    images = splits[target].images.copy()
    for number in range(count):
        label = splits[source].labels[number]
        images[np.flatnonzero(splits[target].labels == label)[-1 - number]] = change(splits[source].images[number])
    return splits | {target: Split(images, splits[target].labels)}


def mark(share: float, splits: Splits) -> Splits:
    images = splits["train"].images.copy()
    threes = np.flatnonzero(splits["train"].labels == 3)
    chosen = threes[: round(share * len(threes))]
    images[chosen] = patch(images[chosen])
    return splits | {"train": Split(images, splits["train"].labels)}


def lose(share: float, splits: Splits) -> Splits:
    fives = np.flatnonzero(splits["train"].labels == 5)
    rest = np.setdiff1d(np.arange(len(splits["train"])), fives[: round(share * len(fives))])
    return splits | {"train": splits["train"].take(rest)}


def file_cases(clean: Path) -> Iterator[tuple[str, str, Callable[[Splits], Splits]]]:
    for name, change in FILES.items():
        yield name, "1 file", partial(from_changed_file, clean, *change)


def from_changed_file(clean: Path, file: str, change: Callable[[bytes], bytes], splits: Splits) -> Splits:
    with tempfile.TemporaryDirectory() as folder:
        for name in catalog.FILE_NAMES:
            content = (clean / name).read_bytes()
            (Path(folder) / name).write_bytes(change(content) if name == file else content)
        return {name: load_split(Path(folder), name) for name in splits}


def other_byte_order(content: bytes) -> bytes:
    return content[:4] + content[4:8][::-1] + content[8:]


FILES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "header in the wrong byte order": (
        catalog.TRAIN_IMAGES,
        other_byte_order,
    ),
    "pixels begin one byte late": (catalog.TRAIN_IMAGES, lambda content: content[:16] + b"\0" + content[16:-1]),
    "pixels begin 100 bytes early": (catalog.TEST_IMAGES, lambda content: content[:16] + content[116:] + bytes(100)),
    "labels begin one byte late": (catalog.TRAIN_LABELS, lambda content: content[:8] + b"\0" + content[8:-1]),
    "file cut off": (catalog.TRAIN_IMAGES, lambda content: content[:-1000]),
    "end filled with zeros, 10 images": (catalog.TRAIN_IMAGES, lambda content: content[:-7840] + bytes(7840)),
    "end filled with zeros, 10 labels": (catalog.TRAIN_LABELS, lambda content: content[:-10] + bytes(10)),
    "pixels declared as 32-bit integers": (catalog.TRAIN_IMAGES, lambda content: content[:2] + b"\x0c" + content[3:]),
    "labels as floats": (catalog.TEST_LABELS, lambda content: content[:2] + b"\x0d" + content[3:]),
    "text in the place of the labels": (catalog.TEST_LABELS, lambda content: b"label\n7\n2\n1\n"),
    "labels in the file of the images": (catalog.TEST_IMAGES, lambda content: format_idx(np.zeros(10_000, np.uint8))),
    "empty file": (catalog.TRAIN_LABELS, lambda content: b""),
}


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
