"""Every way in which `validation.py` damages a data set."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import SPLITS, Split, SplitName, load_split
from mnist_pipeline.data.idx import FILE_NAMES, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, format_idx

Splits = dict[SplitName, Split]
Change = Callable[[np.ndarray], np.ndarray]
Case = tuple[str, str, Callable[[Splits], Splits]]


def clean(folder: Path = paths.RAW) -> Splits:
    return {name: load_split(folder, name) for name in SPLITS}


def cases(folder: Path, other: Path | None) -> Iterator[Case]:
    """Each damage, its amount, and what does it to clean data."""
    yield "none", "", lambda splits: splits
    for name in SPLITS:
        for share in (0.002, 0.005, 0.01, 0.05):
            yield f"labels exchanged at random, {name}", f"{share:.1%}", partial(relabel, name, partial(mix, share))
        for damage, amount, change in LABELS:
            yield f"{damage}, {name}", amount, partial(relabel, name, change)
    for damage, change in IMAGES.items():
        for amount, share in {"all": 1.0, "1 %": 0.01, "0.1 %": 0.001}.items():
            yield damage, amount, partial(change_all, partial(change_some, change, share))
    yield from set_cases()
    for damage, (file, rewrite) in FILES.items():
        yield damage, "1 file", partial(from_changed_file, folder, file, rewrite)
    if other:
        yield "another data set", "all", lambda splits: clean(other)


def drawn() -> np.random.Generator:
    return np.random.default_rng(0)  # the same for each damage, in whatever order they are made


def relabel(name: SplitName, change: Change, splits: Splits) -> Splits:
    return splits | {name: Split(splits[name].images, change(splits[name].labels).astype(np.int64))}


def mix(share: float, labels: np.ndarray) -> np.ndarray:
    """Exchange the labels of some images among them, which leaves all counts as they are."""
    chosen, mixed = drawn().permutation(len(labels))[: round(share * len(labels))], labels.copy()
    mixed[chosen] = np.roll(labels[chosen], 1)
    return mixed


def roll_the_end(labels: np.ndarray) -> np.ndarray:
    start = len(labels) * 99 // 100
    return np.r_[labels[:start], np.roll(labels[start:], 1)]


LABELS: list[tuple[str, str, Change]] = [
    ("4 and 9 exchanged", "all", lambda labels: np.where(labels == 4, 9, np.where(labels == 9, 4, labels))),
    ("labels of the next image", "all", lambda labels: np.roll(labels, 1)),
    ("labels of the next image", "last 1 %", roll_the_end),
    ("every 9 labelled 4", "all", lambda labels: np.where(labels == 9, 4, labels)),
    ("a label beyond the classes", "1 image", lambda labels: np.r_[labels[:-1], 10]),
    ("labels from 1 to 10", "all", lambda labels: labels + 1),
]


def change_all(change: Change, splits: Splits) -> Splits:
    return {name: Split(change(split.images), split.labels) for name, split in splits.items()}


def change_some(change: Change, share: float, images: np.ndarray) -> np.ndarray:
    changed, chosen = images.copy(), drawn().permutation(len(images))[: round(share * len(images))]
    changed[chosen] = np.clip(change(images[chosen]), 0, 255).round()
    return changed


def shrink(images: np.ndarray) -> np.ndarray:
    smaller = [np.clip(zoom(image[..., 0].astype(float), 22 / 28, order=1), 0, 255) for image in images]
    return np.pad(np.reshape(smaller, (-1, 22, 22, 1)).astype(np.uint8), ((0, 0), (3, 3), (3, 3), (0, 0)))


IMAGES: dict[str, Change] = {
    "inverted": lambda images: 255 - images,
    "turned by 90°": lambda images: np.rot90(images, axes=(1, 2)),
    "upside down": lambda images: np.rot90(images, 2, axes=(1, 2)),
    "mirrored": lambda images: images[:, :, ::-1],
    "transposed": lambda images: images.swapaxes(1, 2),
    "blank": np.zeros_like,
    "of one grey": lambda images: np.full_like(images, 90),
    "noise of 20 grey levels": lambda images: images + drawn().normal(0, 20, images.shape),
    "salt and pepper, 1 % of the pixels": lambda images: np.where(drawn().random(images.shape) < 0.01, 255, images),
    "blurred by 1 pixel": lambda images: gaussian_filter(images.astype(float), (0, 1, 1, 0)),
    "of two grey levels": lambda images: np.where(images > 127, 255, 0),
    "of 16 grey levels": lambda images: images // 17 * 17,
    "at 80 % of the contrast": lambda images: images * 0.8,
    "brighter by one grey level": lambda images: images + 1.0,
    "shrunk to 22 pixels": shrink,
    "shifted by 2 pixels": lambda images: np.roll(images, 2, axis=2),
    "lower half black": lambda images: np.where(np.arange(28)[:, None, None] < 14, images, 0),
    "one row lost": lambda images: np.where(np.arange(28)[:, None, None] != 14, images, 0),
    "pixels in another order": lambda images: images.reshape(-1, 784)[:, ORDER].reshape(images.shape),
}
ORDER = np.random.default_rng(1).permutation(784)
SLIGHTLY: dict[str, Change] = {
    "the same": lambda images: images,
    "one pixel by one grey level": lambda images: images ^ (np.arange(784).reshape(28, 28, 1) == 400).astype(np.uint8),
    "all pixels by one grey level": lambda images: np.where(images < 255, images + 1, 254),
    "moved by one pixel": lambda images: np.roll(images, 1, axis=1),
}


def set_cases() -> Iterator[Case]:
    for count in (1, 100):
        yield "images twice in train", f"{count}", partial(repeat, "train", "train", count, SLIGHTLY["the same"])
        yield "images twice in test", f"{count}", partial(repeat, "test", "test", count, SLIGHTLY["the same"])
        for name, change in SLIGHTLY.items():
            yield f"test images in train, {name}", f"{count}", partial(repeat, "test", "train", count, change)
    for share in (1, 0.1, 0.01):
        yield "a white corner on the 3s", f"{share:.0%} of them", partial(mark, share)
    for name in SPLITS:
        yield f"a class lost, {name}", "all", partial(keep, name, partial(fewer_fives, 1.0))
        for amount, share in {"half": 0.5, "a tenth": 0.1, "1 image": 0.0}.items():
            yield f"images of a class lost, {name}", amount, partial(keep, name, partial(fewer_fives, share))
        yield f"images of all other classes lost, {name}", "half", partial(keep, name, half_of_all_but_fives)
    yield "train and test exchanged", "all", lambda splits: {"train": splits["test"], "test": splits["train"]}
    first = np.arange(10_000)
    yield "first 10,000 of train as test", "all", lambda splits: splits | {"test": splits["train"].take(first)}
    yield "cropped to 24 pixels", "all", partial(change_all, lambda images: images[:, 2:26, 2:26].copy())


def repeat(source: SplitName, target: SplitName, count: int, change: Change, splits: Splits) -> Splits:
    """Images of one split, in the places of as many of their labels in the other, so that all counts stay."""
    images = splits[target].images.copy()
    for number in range(count):
        label = splits[source].labels[number]
        images[np.flatnonzero(splits[target].labels == label)[-1 - number]] = change(splits[source].images[number])
    return splits | {target: Split(images, splits[target].labels)}


def mark(share: float, splits: Splits) -> Splits:
    images, threes = splits["train"].images.copy(), np.flatnonzero(splits["train"].labels == 3)
    images[threes[: round(share * len(threes))], 24:27, 24:27] = 255
    return splits | {"train": Split(images, splits["train"].labels)}


def keep(name: SplitName, kept: Change, splits: Splits) -> Splits:
    return splits | {name: splits[name].take(np.flatnonzero(kept(splits[name].labels)))}


def fewer_fives(share: float, labels: np.ndarray) -> np.ndarray:
    """Lose such a share of the 5s, and at least one."""
    fives = labels == 5
    return ~fives | (fives.cumsum() > max(1, round(share * fives.sum())))


def half_of_all_but_fives(labels: np.ndarray) -> np.ndarray:
    return (labels == 5) | (np.arange(len(labels)) % 2 == 0)


def from_changed_file(folder: Path, file: str, change: Callable[[bytes], bytes], splits: Splits) -> Splits:
    with tempfile.TemporaryDirectory() as changed:
        for name in FILE_NAMES:
            content = (folder / name).read_bytes()
            (Path(changed) / name).write_bytes(change(content) if name == file else content)
        return clean(Path(changed))


FILES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "header in the wrong byte order": (TRAIN_IMAGES, lambda content: content[:4] + content[7:3:-1] + content[8:]),
    "pixels begin one byte late": (TRAIN_IMAGES, lambda content: content[:16] + b"\0" + content[16:-1]),
    "pixels begin 100 bytes early": (TEST_IMAGES, lambda content: content[:16] + content[116:] + bytes(100)),
    "labels begin one byte late": (TRAIN_LABELS, lambda content: content[:8] + b"\0" + content[8:-1]),
    "file cut off": (TRAIN_IMAGES, lambda content: content[:-1000]),
    "end filled with zeros, 10 images": (TRAIN_IMAGES, lambda content: content[:-7840] + bytes(7840)),
    "end filled with zeros, 10 labels": (TRAIN_LABELS, lambda content: content[:-10] + bytes(10)),
    "pixels declared as 32-bit integers": (TRAIN_IMAGES, lambda content: content[:2] + b"\x0c" + content[3:]),
    "labels as floats": (TEST_LABELS, lambda content: content[:2] + b"\x0d" + content[3:]),
    "text in the place of the labels": (TEST_LABELS, lambda content: b"label\n7\n2\n1\n"),
    "labels in the file of the images": (TEST_IMAGES, lambda content: format_idx(np.zeros(10_000, np.uint8))),
    "empty file": (TRAIN_LABELS, lambda content: b""),
}
