"""Every way in which `gate.py` damages a data set."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from mnist_pipeline import paths
from mnist_pipeline.data import catalog
from mnist_pipeline.data.dataset import SPLIT_FILES, Split, SplitName, load_split
from mnist_pipeline.data.idx import format_idx

Splits = dict[SplitName, Split]
Change = Callable[[np.ndarray], np.ndarray]
SHARES = {"all": 1.0, "1 %": 0.01, "0.1 %": 0.001}


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


def drawn() -> np.random.Generator:
    """Each damage has the same draws, whichever went before it."""
    return np.random.default_rng(0)


def mix(share: float, labels: np.ndarray) -> np.ndarray:
    """Exchanges the labels of some images among them, which leaves all counts as they are."""
    chosen = drawn().permutation(len(labels))[: round(share * len(labels))]
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
        images, chosen = split.images.copy(), drawn().permutation(len(split))[: round(share * len(split))]
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
    "noise of 20 grey levels": lambda images: images + drawn().normal(0, 20, images.shape),
    "salt and pepper, 1 % of the pixels": lambda images: np.where(drawn().random(images.shape) < 0.01, 255, images),
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
    for name in ("train", "test"):
        yield f"a class lost, {name}", "all", partial(lose, name, 1.0)
        yield f"images of a class lost, {name}", "half", partial(lose, name, 0.5)
        yield f"images of a class lost, {name}", "a tenth", partial(lose, name, 0.1)
        yield f"images of a class lost, {name}", "1 image", partial(lose, name, 0.0)
        yield f"images of all other classes lost, {name}", "half", partial(keep_one_class, name)
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


def lose(name: SplitName, share: float, splits: Splits) -> Splits:
    """Such a share of the 5s, and at least one."""
    fives = np.flatnonzero(splits[name].labels == 5)
    lost = fives[: max(1, round(share * len(fives)))]
    return splits | {name: splits[name].take(np.setdiff1d(np.arange(len(splits[name])), lost))}


def keep_one_class(name: SplitName, splits: Splits) -> Splits:
    """All 5s, and every other image of the others."""
    kept = (splits[name].labels == 5) | (np.arange(len(splits[name])) % 2 == 0)
    return splits | {name: splits[name].take(np.flatnonzero(kept))}


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
