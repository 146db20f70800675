"""500 test images of Fashion-MNIST, 50 of each garment, in `fashion_mnist.png` beside this module.

Fashion-MNIST: Xiao, Rasul and Vollgraf (2017), https://github.com/zalandoresearch/fashion-mnist, copyright Zalando SE,
under the MIT licence, whose text is in `fashion_mnist_license.txt`. The picture is a sheet of 20 rows of 25 images,
lossless; `test` are the files whose SHA-256 `data.catalog` has under the name of that data set, and it was made by

    _, chosen = stratified_split(test.labels, 500, seed=2017)  # of data.dataset
    sheet = test.images[chosen].reshape(20, 25, 28, 28).swapaxes(1, 2).reshape(20 * 28, 25 * 28)
    Image.fromarray(sheet).save("fashion_mnist.png", optimize=True)
"""

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS, SIDE = 20, 25, 28


def load_garments() -> NDArray[np.uint8]:
    """Raw images `[500, 28, 28]`."""
    from PIL import Image

    with files("mnist_pipeline.evaluation").joinpath("fashion_mnist.png").open("rb") as stream:
        sheet = np.asarray(Image.open(stream))
    return sheet.reshape(ROWS, SIDE, COLUMNS, SIDE).swapaxes(1, 2).reshape(ROWS * COLUMNS, SIDE, SIDE)
