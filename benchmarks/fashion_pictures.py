"""Writes Fashion-MNIST as PNG files in folders by class, from Debian's package dataset-fashion-mnist.

    python benchmarks/fashion_pictures.py photos

for the numbers in docs/tutorials/your-own-images.md.
"""

import gzip
import sys
from pathlib import Path

from PIL import Image

from mnist_pipeline.data.catalog import FASHION
from mnist_pipeline.data.idx import parse_idx

SOURCE = Path("/usr/share/datasets/fashion-mnist")


def write_pictures(folder: Path, most: int | None = None) -> None:
    """Write `train/<class>/…` and `test/<class>/…`, of each split its first images, at most so many."""
    for split, start in (("train", "train"), ("test", "t10k")):
        files = [SOURCE / f"{start}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
        images, labels = (parse_idx(gzip.decompress(file.read_bytes()), file.name) for file in files)
        for number, (image, label) in enumerate(zip(images[:most], labels[:most], strict=True)):
            target = folder / split / FASHION[label].replace("/", " or ")
            target.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(target / f"{number:05}.png")


if __name__ == "__main__":
    write_pictures(Path(sys.argv[1]))
