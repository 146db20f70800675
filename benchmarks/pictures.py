"""How many digits `mnist-pipeline predict` tells in pictures, beside the images that the pictures were made of.

    python benchmarks/pictures.py
    python benchmarks/pictures.py tables

Each image of the test set is drawn as a picture of each kind: 40 to 400 pixels high and wide, the digit in a field of
40 to 90 % of the shorter side, anywhere on it, both greys drawn at random and at least 100 apart, so the ground may be
of any grey. What is no digit is what `evaluate` asks about. All is seeded. The pictures are files in a folder, which
the command is given. The numbers go to `benchmarks/results/pictures.json` and into the documentation, with `tables`
into the documentation alone.
"""

import io
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from report import table, write_in_pages

RESULTS = Path(__file__).parent / "results/pictures.json"
SEED = 0
SIDES = (40, 400)
FIELD = (0.4, 0.9)
APART = 100
OTHERS = 2000
"""Pictures of each kind that shows no digit, at most."""
RAW = "the images themselves, 28 by 28"


@dataclass(frozen=True)
class Kind:
    """How a picture looks; `noise` is the most that the standard deviation of its noise is, in grey levels."""

    dark_on_light: bool
    suffix: str
    noise: float


KINDS = {
    "light on dark, PNG": Kind(False, ".png", 0),
    "dark on light, PNG": Kind(True, ".png", 0),
    "light on dark, JPEG of quality 30 to 95": Kind(False, ".jpg", 0),
    "dark on light, JPEG of quality 30 to 95": Kind(True, ".jpg", 0),
    "dark on light, noise of up to 8 grey levels, PNG": Kind(True, ".png", 8),
    "dark on light, noise of up to 8 grey levels, JPEG": Kind(True, ".jpg", 8),
}


def main() -> None:
    if sys.argv[1:] != ["tables"]:
        RESULTS.write_text(json.dumps(measure(), indent=2) + "\n")
    write_in_pages(tables(json.loads(RESULTS.read_text())))


def measure() -> dict[str, Any]:
    """For each kind of picture and each model, the share that is right and the share that carries a warning.

    Of `others`, which show no digit, none can be right.
    """
    from mnist_pipeline import paths
    from mnist_pipeline.data.dataset import load_split
    from mnist_pipeline.evaluation.out_of_distribution import out_of_distribution_images
    from mnist_pipeline.params import load_params

    params, test = load_params(), load_split(paths.RAW, "test")
    models = params.models
    found: dict[str, Any] = {"images": len(test), "kinds": {}, "others": {}}
    with TemporaryDirectory() as name:
        for title, images in out_of_distribution_images(test.images, params.data.dataset).items():
            if title == "blank":  # the command tells that nothing is drawn on it
                continue
            folder = Path(name) / title
            folder.mkdir()
            for number, image in enumerate(images[:OTHERS]):
                save(folder / f"{number:05}", image, None, np.random.default_rng(SEED))
            warned = {model: float(np.mean(warnings(told_of(folder, model)))) for model in models}
            found["others"][title] = {"images": len(images[:OTHERS]), "warned": warned}
            print(title, found["others"][title], file=sys.stderr, flush=True)  # noqa: T201
        for title, kind in {RAW: None, **KINDS}.items():
            folder = Path(name) / str(len(found["kinds"]))
            folder.mkdir()
            random = np.random.default_rng(SEED)
            for number, image in enumerate(test.images):
                save(folder / f"{number:05}", image, kind, random)
            found["kinds"][title] = {model: judged(folder, model, test.labels) for model in models}
            print(title, found["kinds"][title], file=sys.stderr, flush=True)  # noqa: T201
    return found


def save(path: Path, image: NDArray[np.uint8], kind: Kind | None, random: np.random.Generator) -> None:
    """Draws an image as a picture of a kind; of none, it is its own picture."""
    if kind is None:
        Image.fromarray(image).save(path.with_suffix(".png"))
        return
    picture = Image.fromarray(drawn(image, kind, random))
    if kind.suffix == ".jpg":
        picture.save(path.with_suffix(kind.suffix), quality=int(random.integers(30, 96)))
    else:
        picture.save(path.with_suffix(kind.suffix), compress_level=1)


def drawn(image: NDArray[np.uint8], kind: Kind, random: np.random.Generator) -> NDArray[np.uint8]:
    """The pixels of a picture, `uint8 [height, width]`."""
    height, width = random.integers(SIDES[0], SIDES[1] + 1, 2)
    side = round(min(height, width) * random.uniform(*FIELD))
    digit = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
    share = np.zeros((height, width))
    share[top : top + side, left : left + side] = np.asarray(digit) / 255
    dark = random.uniform(0, 255 - APART)
    light = random.uniform(dark + APART, 255)
    ground, ink = (light, dark) if kind.dark_on_light else (dark, light)
    grey = ground + share * (ink - ground) + random.normal(0, random.uniform(0, kind.noise), share.shape)
    return grey.round().clip(0, 255).astype(np.uint8)


def judged(folder: Path, model: str, labels: NDArray[np.uint8]) -> dict[str, float]:
    """Of the pictures in a folder, which are in the order of their labels."""
    told = told_of(folder, model)
    right = [entry["label"] == str(label) for entry, label in zip(told, labels, strict=True)]
    return {"right": float(np.mean(right)), "warned": float(np.mean(warnings(told)))}


def told_of(folder: Path, model: str) -> list[dict[str, Any]]:
    """What the command says of the pictures in a folder, by their names."""
    from mnist_pipeline.tasks import predict

    with redirect_stdout(io.StringIO()) as printed:
        predict.run([str(folder)], model, as_json=True)
    told: list[dict[str, Any]] = json.loads(printed.getvalue())
    return told


def warnings(told: list[dict[str, Any]]) -> list[bool]:
    return [entry["warning"] is not None for entry in told]


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    models = list(next(iter(found["kinds"].values())))
    columns = ["pictures", *(f"{model}: right" for model in models), *(f"{model}: warned of" for model in models)]
    others = [
        [f"`{title}`", f"{of['images']:,}", *(f"{of['warned'][model]:.1%}" for model in models)]
        for title, of in found["others"].items()
    ]
    return {
        "pictures": table(columns, list(_lines(found["kinds"], models))),
        "no digits": table(("what is no digit", "images", *(f"{model}: warned of" for model in models)), others),
    }


def _lines(kinds: Mapping[str, Any], models: list[str]) -> Iterator[list[str]]:
    for title, of_model in kinds.items():
        yield [title, *(f"{of_model[model][name]:.2%}" for name in ("right", "warned") for model in models)]


if __name__ == "__main__":
    main()
