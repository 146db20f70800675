"""The data sets that download knows by name: where they are had, their classes, and how a picture becomes an image."""

from dataclasses import dataclass, field
from typing import Any

from mnist_pipeline.data.idx import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS

FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
HIRAGANA = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
EMNIST = ["balanced", "byclass", "bymerge", "digits", "letters", "mnist"]
STROKES = {"preparation": "mnist", "fit": "contain", "background": "black"}
WHOLE = {"preparation": "resize", "fit": "contain", "background": "black"}
PHOTOS = {"preparation": "resize", "fit": "cover", "background": "black"}


@dataclass(frozen=True)
class CatalogEntry:
    """What is known of a data set before it is downloaded."""

    torchvision_class: str | None = None  # of `torchvision.datasets`; it lists the mirrors
    picture: dict[str, str] | None = None  # how a picture becomes an image; None where params.yaml has it
    label_names: list[str] | None = None  # None where torchvision or the user's own files name them
    sha256: dict[str, str] = field(default_factory=dict)  # of each IDX file; empty where nobody has published them


DATASETS: dict[str, CatalogEntry] = {
    "mnist": CatalogEntry(
        "MNIST",
        STROKES,
        list("0123456789"),
        {
            TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    "fashion-mnist": CatalogEntry(
        "FashionMNIST",
        WHOLE,
        FASHION,
        {
            TRAIN_IMAGES: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            TRAIN_LABELS: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            TEST_IMAGES: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            TEST_LABELS: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        },
    ),
    "kmnist": CatalogEntry("KMNIST", WHOLE, HIRAGANA),
    **{f"emnist-{subset}": CatalogEntry("EMNIST", STROKES) for subset in EMNIST},
    "qmnist": CatalogEntry("QMNIST", STROKES, list("0123456789")),
    "usps": CatalogEntry("USPS", WHOLE, list("0123456789")),
    "svhn": CatalogEntry("SVHN", PHOTOS, list("0123456789")),
    "cifar10": CatalogEntry("CIFAR10", PHOTOS),
    "cifar100": CatalogEntry("CIFAR100", PHOTOS),
    "idx": CatalogEntry(),
    "folder": CatalogEntry(),
}


def picture_settings(data: Any) -> dict[str, str]:
    """How a picture of any kind becomes an image of the data set that the section `data` of params.yaml names."""
    own = {name: getattr(data.image, name) for name in STROKES}
    return DATASETS[data.dataset].picture or own


def of_strokes(data: Any) -> bool:
    """Whether the images are of strokes as in MNIST: bright on black, in one piece, centred."""
    return picture_settings(data)["preparation"] == "mnist"
