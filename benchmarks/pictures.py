"""How many digits `mnist-pipeline predict` recognises in pictures, beside the images that the pictures were made of.

    python benchmarks/pictures.py
    python benchmarks/pictures.py --publish

Each image of the test set is drawn as a picture of each kind: 40 to 400 pixels high and wide, the digit in a field of
40 to 90 % of the shorter side, anywhere on it, both greys drawn at random and at least 100 apart, so the ground may be
of any grey. The out-of-distribution images are those of `evaluate`. All is seeded.
"""

import io
import json
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from report import measure_or_publish, table

SEED = 0
OTHERS = 2000  # pictures of each kind that shows no digit, at most

# Whether it is dark on light, the suffix, and the most that the standard deviation of its noise is, in grey levels
Kind = tuple[bool, str, float]
KINDS: dict[str, Kind | None] = {
    "the images themselves, 28 by 28": None,
    "light on dark, PNG": (False, ".png", 0),
    "dark on light, PNG": (True, ".png", 0),
    "light on dark, JPEG of quality 30 to 95": (False, ".jpg", 0),
    "dark on light, JPEG of quality 30 to 95": (True, ".jpg", 0),
    "dark on light, noise of up to 8 grey levels, PNG": (True, ".png", 8),
    "dark on light, noise of up to 8 grey levels, JPEG": (True, ".jpg", 8),
}


def measure() -> dict[str, Any]:
    """For each kind of picture and each model, the share that is right and the share that carries a warning."""
    from mnist_pipeline import paths
    from mnist_pipeline.data.dataset import load_split
    from mnist_pipeline.evaluation.out_of_distribution import out_of_distribution_images
    from mnist_pipeline.params import load_params

    params, test = load_params(), load_split(paths.RAW, "test")
    found: dict[str, Any] = {"images": len(test), "kinds": {}, "others": {}}
    for title, images in out_of_distribution_images(test.images, params.data.dataset).items():
        if title != "blank":  # which ends in an error: nothing is drawn on it
            shares = predicted(images[:OTHERS], None, params.models, None)
            warned = {model: share["warned"] for model, share in shares.items()}
            found["others"][title] = {"images": len(images[:OTHERS]), "warned": warned}
    for title, kind in KINDS.items():
        found["kinds"][title] = predicted(test.images, kind, params.models, test.labels)
    return found


def predicted(
    images: Iterable[NDArray[np.uint8]], kind: Kind | None, models: list[str], labels: NDArray[np.uint8] | None
) -> dict[str, dict[str, float]]:
    """Of pictures of the images, by each model."""
    from mnist_pipeline.commands import predict

    random = np.random.default_rng(SEED)
    shares = {}
    with TemporaryDirectory() as folder:
        for number, image in enumerate(images):
            save(Path(folder) / f"{number:05}", image, kind, random)
        for model in models:
            with redirect_stdout(io.StringIO()) as printed:
                predict.run([folder], model, as_json=True)
            entries = json.loads(printed.getvalue())
            shares[model] = {"warned": float(np.mean([entry["warning"] is not None for entry in entries]))}
            if labels is not None:
                right = [entry["label"] == str(label) for entry, label in zip(entries, labels, strict=True)]
                shares[model]["right"] = float(np.mean(right))
    return shares


def save(path: Path, image: NDArray[np.uint8], kind: Kind | None, random: np.random.Generator) -> None:
    """Draw an image as a picture of a kind; of none, it is its own picture."""
    if kind is None:
        Image.fromarray(image[..., 0]).save(path.with_suffix(".png"))
        return
    dark_on_light, suffix, noise = kind
    height, width = random.integers(40, 401, 2)
    side = round(min(height, width) * random.uniform(0.4, 0.9))
    digit = Image.fromarray(image[..., 0]).resize((side, side), Image.Resampling.BICUBIC)
    top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
    share = np.zeros((height, width))
    share[top : top + side, left : left + side] = np.asarray(digit) / 255
    dark = random.uniform(0, 155)
    light = random.uniform(dark + 100, 255)
    ground, ink = (light, dark) if dark_on_light else (dark, light)
    grey = ground + share * (ink - ground) + random.normal(0, random.uniform(0, noise), share.shape)
    options = {"quality": int(random.integers(30, 96))} if suffix == ".jpg" else {"compress_level": 1}
    Image.fromarray(grey.round().clip(0, 255).astype(np.uint8)).save(path.with_suffix(suffix), **options)


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    models = list(next(iter(found["kinds"].values())))
    columns = ["pictures", *(f"{model}: right" for model in models), *(f"{model}: warned of" for model in models)]
    kinds = [
        [title, *(f"{shares[model][name]:.2%}" for name in ("right", "warned") for model in models)]
        for title, shares in found["kinds"].items()
    ]
    others = [
        [f"`{title}`", f"{of['images']:,}", *(f"{of['warned'][model]:.1%}" for model in models)]
        for title, of in found["others"].items()
    ]
    return {
        "pictures": table(columns, kinds),
        "pictures: out of distribution": table(
            ("out-of-distribution inputs", "images", *(f"{model}: warned of" for model in models)), others
        ),
    }


if __name__ == "__main__":
    measure_or_publish("pictures", measure, tables)
