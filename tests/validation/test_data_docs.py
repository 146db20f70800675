"""The pages about a judgement show what was refused, and ask the network for nothing."""

import re
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.params import Suite
from mnist_pipeline.validation.data_docs import DETAILS, without_remote_parts, write_page
from mnist_pipeline.validation.expectations import Judgement
from mnist_pipeline.validation.profile import image_tables

Splits = dict[SplitName, Split]


@pytest.fixture(scope="module")
def documented(
    judged: Callable[..., Judgement], splits: Splits, suite: Suite, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Splits, Suite], Path]:
    def documented(shown: Splits, by: Suite) -> Path:
        folder = tmp_path_factory.mktemp("documented")
        write_page(folder, "idx", judged(shown, by, folder / DETAILS), shown, image_tables(shown))
        return folder

    return documented


@pytest.fixture(scope="module")
def refused(documented: Callable[[Splits, Suite], Path], splits: Splits, suite: Suite) -> Path:
    """Of data in which the test image 7 is inverted and the label 9 of the training images is another."""
    images, labels = splits["test"].images.copy(), splits["train"].labels.copy()
    images[7] = 255 - images[7]
    labels[labels == 9] = 8
    strict = suite.model_copy(update={"max_outlier_share": 0.0, "ink_fraction": [0, 0.5]})
    return documented(
        {"train": Split(splits["train"].images, labels), "test": Split(images, splits["test"].labels)}, strict
    )


def test_a_refused_image_is_shown_with_its_place_and_label(refused: Path, splits: Splits) -> None:
    page = (refused / "index.html").read_text()
    shown = re.search(r'base64,([^"]*)" alt="image 7">image 7, label (\d)<br>([\d.]+)', page)
    assert shown
    inverted = np.asarray(Image.open(BytesIO(b64decode(shown[1]))))
    np.testing.assert_array_equal(inverted, 255 - splits["test"].images[7])
    assert int(shown[2]) == splits["test"].labels[7]
    assert "test: ink_fraction</h2><p>expected 0 to 0.5; not so in 1 image</p>" in page


def test_what_is_of_the_whole_set_is_told_without_pictures(refused: Path) -> None:
    page = (refused / "index.html").read_text()
    assert "whole set: train/count/9</h2><p>expected at least 5; observed 0</p>" in page
    assert re.search(r"The gate refuses the data: \d of 63 expectations \(idx\) are not met", page)


def test_every_page_is_linked_and_asks_the_network_for_nothing(refused: Path) -> None:
    links = re.findall(r'href="([^"]*)"', (refused / "index.html").read_text())
    pages = [refused / link.replace("%20", " ") for link in links]
    assert len(pages) == 3
    for page in pages:
        assert not re.search(r'<(script|link|img)[^>]*(src|href)="http', page.read_text())


def test_data_that_pass_are_told_so(documented: Callable[[Splits, Suite], Path], splits: Splits, suite: Suite) -> None:
    page = (documented(splits, suite) / "index.html").read_text()
    assert "The gate lets the data pass: all 63 expectations (idx) are met" in page


@pytest.mark.parametrize(
    "part",
    [
        '<link rel="stylesheet" href="https://example.com/a.css">',
        '<script crossorigin="anonymous"\n src="https://example.com/a.js"></script>',
        "<script src='http://example.com/a.js'> </script>",
        '<img width="3" src="https://example.com/a.png"/>',
        '<footer class="x">\n<a href="https://example.com">news</a></footer>',
        "<script>\n$('.of-a-script-from-elsewhere').show()</script>",
    ],
)
def test_remote_parts_are_left_out(part: str) -> None:
    page = without_remote_parts(f"<head></head><p>text</p>{part}<p>more</p>{part}")
    assert page.endswith("</head><p>text</p><p>more</p>")
