"""One's own images: how fast they are packed, batched and trained on, and how much memory that takes, with 8 GB too.

    python benchmarks/images.py
    python benchmarks/images.py --publish

What torchvision's ImageFolder does with the same pictures is measured in turns with it, each in a process of its own.
The pictures and the 8 GB are made up, and lie in `benchmarks/measured` while they are needed.
"""

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as `mnist-pipeline` does, before OpenMP loads

import numpy as np
import psutil

from report import instructions, measure_or_publish, processor, table

HERE = Path(__file__).parent
GREY, COLOUR, LARGE = (28, 28, 1), (32, 32, 3), (224, 224, 3)
PICTURES, LARGE_IMAGES, CLASSES, BATCH, REPEATS = 60_000, 53_200, 10, 128, 3
TRAINED = {"lenet": 5_120, "resnet": 1_280}
"""Images of an epoch."""
DISTORTED = 12_800  # images, as for the rival
LARGE_STEPS = 100
BLOCK = 400  # images of random pixels, which a file repeats
MEMORY = {"own": ("RssAnon", "RssShmem"), "resident": ("VmRSS",)}
"""Of a process, by the names of the kernel; files that are mapped are resident until another needs the memory."""


def measure() -> dict[str, Any]:
    found: dict[str, Any] = {"packing": {}, "batches": {}, "epochs": {}}
    for shape in (GREY, COLOUR):
        with project() as folder:
            write_pictures(folder, PICTURES, shape)
            commands = {"pipeline": ("images.py", "pack"), "ImageFolder": ("rivals.py", "decode", "pictures")}
            found["packing"]["×".join(map(str, shape))] = in_turns(folder, commands)
            if shape == COLOUR:
                for kind in ("bytes", "distorted"):
                    ours, theirs = ("images.py", "batches", kind), ("rivals.py", "load", "pictures", kind)
                    found["batches"][kind] = in_turns(folder, {"pipeline": ours, "ImageFolder": theirs})
                for model, count in TRAINED.items():
                    found["epochs"][model] = apart(folder, "images.py", "epochs", model, str(count))["result"]
    with project() as folder:
        write_raw(folder, LARGE_IMAGES, LARGE)
        found["large"] = apart(folder, "images.py", "train_large", str(LARGE_STEPS), every=0.5)
    names = ("torch", "torchvision", "pillow", "numpy")
    found["conditions"] = {
        "processor": processor(),
        "instructions": instructions(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }
    sys.stdout.write("\n\n".join(tables(found).values()) + "\n")
    return found


@contextmanager
def project() -> Iterator[Path]:
    """A folder with the parameters of this one, on its disk."""
    (HERE / "measured").mkdir(exist_ok=True)
    with TemporaryDirectory(dir=HERE / "measured") as name:
        shutil.copy(HERE.parent / "params.yaml", name)
        yield Path(name)


def write_pictures(folder: Path, count: int, shape: tuple[int, int, int]) -> None:
    """Blurred colours as PNGs in class folders, and the parameters that say how to prepare them."""
    from PIL import Image

    from mnist_pipeline.commands.params_file import write_values

    random, (height, width, channels) = np.random.default_rng(0), shape
    for number in range(count):
        path = folder / f"pictures/{number % CLASSES}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (8, 8, channels), dtype=np.uint8)
        image = Image.fromarray(pixels if channels > 1 else pixels[..., 0])
        image.resize((width, height), Image.Resampling.BICUBIC).save(path)
    values = {"image.height": height, "image.width": width, "image.channels": channels}
    write_values("data", {"dataset": "folder", "folder": "pictures", **values}, folder / "params.yaml")


def write_raw(folder: Path, count: int, shape: tuple[int, int, int]) -> None:
    """Random images as the IDX files that a stage reads."""
    from mnist_pipeline.data.dataset import write_images, write_labels

    (folder / "data/raw").mkdir(parents=True)
    block = np.random.default_rng(0).integers(0, 256, (BLOCK, *shape), dtype=np.uint8)
    blocks = (block[: count - start] for start in range(0, count, BLOCK))
    write_images(folder / "data/raw", "train", shape, blocks)
    write_labels(folder / "data/raw", "train", np.arange(count) % CLASSES, CLASSES)


def in_turns(folder: Path, commands: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, float]]:
    """Of each command the median result and the most memory; in turns, so that what else runs affects all of them."""
    runs = [{name: apart(folder, *command) for name, command in commands.items()} for _ in range(REPEATS)]
    return {
        name: {
            "result": statistics.median(run[name]["result"] for run in runs),
            **{kind: max(run[name][kind] for run in runs) for kind in MEMORY},
        }
        for name in commands
    }


def apart(folder: Path, script: str, *arguments: str, every: float = 0.2) -> dict[str, Any]:
    """What a script prints, run in `folder`, and the most bytes that it and its children had at once, from outside."""
    command = [sys.executable, str(HERE / script), *arguments]
    most = dict.fromkeys(MEMORY, 0)
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            taken = memory(process.pid)
            most = {kind: max(most[kind], taken[kind]) for kind in MEMORY}
            time.sleep(every)
        output = process.communicate()[0]
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return {"result": json.loads(output), **most}


def memory(process: int) -> dict[str, int]:
    """Bytes of a process and its children together; what they share counts for each."""
    taken = dict.fromkeys(MEMORY, 0)
    with suppress(psutil.NoSuchProcess):
        for one in (psutil.Process(process), *psutil.Process(process).children(recursive=True)):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                status = dict(re.findall(r"^(\w+):\s+(\d+) kB$", Path(f"/proc/{one.pid}/status").read_text(), re.M))
                for kind, names in MEMORY.items():
                    taken[kind] += sum(int(status.get(name, 0)) * 1024 for name in names)
    return taken


# Each of these runs in a project, in a process of its own


def pack() -> float:
    """Seconds from pictures in class folders to the IDX files."""
    from mnist_pipeline import paths
    from mnist_pipeline.data.folder import read
    from mnist_pipeline.params import load_params

    data = load_params().data
    shutil.rmtree(paths.RAW, ignore_errors=True)
    paths.RAW.mkdir(parents=True)
    begun = time.perf_counter()
    read(data, paths.RAW)
    return time.perf_counter() - begun


def batches(kind: str) -> float:
    """Images a second in batches in random order, as bytes or `distorted` as for resnet."""
    import torch

    from mnist_pipeline import paths
    from mnist_pipeline.data.augment import random_distortion
    from mnist_pipeline.data.dataset import load_split
    from mnist_pipeline.params import load_params
    from mnist_pipeline.stages.train import subset

    bounds = dict(load_params().training("resnet").augmentation)
    del bounds["final_strength"]
    split, generator = load_split(paths.RAW, "train"), torch.Generator()
    begun = time.perf_counter()
    data = subset(split, np.arange(len(split)), torch.device("cpu"))
    order = torch.randperm(len(data))[: DISTORTED if kind == "distorted" else None]
    for places in order.split(BATCH):
        images, _ = data.take(places)
        if kind == "distorted":
            random_distortion(images, generator, **bounds)
    return len(order) / (time.perf_counter() - begun)


def epochs(model: str, count: str) -> dict[str, float]:
    """Seconds of an epoch, with augmentation and without, and of its forward and backward passes alone."""
    import torch

    from recipe import AFFINE, training_of
    from speed import bare_steps, medians, seconds, with_images

    plain = {f"augmentation.{name}": 0.0 for name in (*AFFINE, "elastic", "horizontal_flip")}
    trainings = {
        name: with_images(training_of(model, {"epochs": REPEATS + 1, **changes}), torch.arange(int(count)))
        for name, changes in {"augmented": {}, "plain": plain}.items()
    }
    works: dict[str, Callable[[], object]] = {"passes": bare_steps(trainings["plain"], int(count))}
    works |= {name: partial(next, training.fit()) for name, training in trainings.items()}
    for work in works.values():
        work()  # the first time, it also chooses kernels
    found = medians({name: partial(seconds, work) for name, work in works.items()}, REPEATS)
    return {"images": int(count), **found}


def train_large(steps: str) -> dict[str, Any]:
    """Seconds to prepare a training of LeNet on all images, and of an epoch over some of them with its validation."""
    import torch

    from recipe import training_of
    from speed import seconds, with_images

    begun = time.perf_counter()
    training = training_of("lenet", {"epochs": 1})
    prepared = time.perf_counter() - begun
    chosen = torch.randperm(len(training.train))[: int(steps) * training.settings.batch_size]
    some = replace(with_images(training, chosen), validation=training.validation)
    counts = {"steps": int(steps), "images": len(chosen), "validated": len(training.validation)}
    size = training.train.images.nbytes
    return counts | {"bytes": size, "prepare": prepared, "fit": seconds(lambda: next(some.fit()))}


IN_A_PROCESS_OF_THEIR_OWN: dict[str, Callable[..., Any]] = {
    work.__name__: work for work in (pack, batches, epochs, train_large)
}


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    large, steps = found["large"], found["large"]["result"]
    packed = []
    for shape, both in found["packing"].items():
        ours, theirs = both["pipeline"], both["ImageFolder"]
        seconds = [f"{theirs['result']:.1f}", f"{ours['result']:.1f}", f"**{theirs['result'] / ours['result']:.2f}**"]
        packed.append([shape, *seconds, *(f"{ours[kind] / 1e6:.0f} MB" for kind in MEMORY)])
    batched = []
    for kind, both in found["batches"].items():
        ours, theirs = both["pipeline"]["result"], both["ImageFolder"]["result"]
        batched.append([kind, f"{theirs:,.0f}", f"{ours:,.0f}", f"**{ours / theirs:.1f}**"])
    trained = []
    for model, times in found["epochs"].items():
        shares = [f"{times[kind]:.2f} ({times['passes'] / times[kind]:.0%})" for kind in ("plain", "augmented")]
        trained.append([model, f"{times['images']:,}", f"{times['passes']:.2f}", *shares])
    whole = [
        ("images", f"{steps['bytes'] / 1e9:.1f} GB"),
        ("seconds to prepare the training", f"{steps['prepare']:.0f}"),
        (f"seconds of {steps['steps']} steps and {steps['validated']:,} validation images", f"{steps['fit']:.0f}"),
        ("its own memory", f"**{large['own'] / 1e9:.2f} GB**"),
        ("with the pages of mapped files", f"{large['resident'] / 1e9:.1f} GB"),
    ]
    passes = ("passes alone, s", "an epoch, s", "with augmentation, s")
    return {
        "images: packing": table(
            ("pictures", "ImageFolder, s", "packing, s", "ratio", "its own memory", "with mapped files"), packed
        ),
        "images: batches": table(("batches", "ImageFolder, images/s", "this loop, images/s", "ratio"), batched),
        "images: epochs": table(("model", "images", *passes), trained),
        "images: large": table(("8 GB", ""), whole),
        "images: conditions": ", ".join(f"{name} {value}" for name, value in found["conditions"].items()) + ".",
    }


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in IN_A_PROCESS_OF_THEIR_OWN:
        sys.stdout.write(json.dumps(IN_A_PROCESS_OF_THEIR_OWN[sys.argv[1]](*sys.argv[2:])))
    else:
        measure_or_publish("images", measure, tables)
