"""The pages about a validation show what failed, and load nothing from the network."""

import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.validation.data_docs import DETAILS, without_remote_parts, write_page
from mnist_pipeline.validation.expectations import check
from mnist_pipeline.validation.statistics import image_tables, whole_set_facts


def test_a_page_shows_what_failed_and_loads_nothing(tmp_path: Path, splits: dict[SplitName, Split], suite) -> None:
    """The test image 7 is inverted, and the label 9 of the training images is another."""
    images, labels = splits["test"].images.copy(), splits["train"].labels.copy()
    images[7] = 255 - images[7]
    labels[labels == 9] = 8
    strict = suite.model_copy(update={"max_outlier_share": 0.0, "ink_fraction": [0, 0.5]})
    damaged = {"train": Split(splits["train"].images, labels), "test": Split(images, splits["test"].labels)}
    tables = image_tables(damaged)
    names = ["<b>", *"123456789"]
    checked = check(tables, whole_set_facts(damaged, tables), strict, names, tmp_path / DETAILS)
    write_page(tmp_path, "<idx>", *checked, damaged, tables, names)

    page = (tmp_path / "index.html").read_text()
    shown = re.search(r'base64,([^"]*)" alt="image 7">\nimage 7, label (\d)<br>([\d.]+)', page)
    assert shown
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(b64decode(shown[1])))), images[7, ..., 0])
    assert int(shown[2]) == splits["test"].labels[7]
    assert re.search("test: ink_fraction</h2>\n<p>expected 0 to 0.5;.* 1 image<", page)
    assert re.search("whole set: train/count/9</h2>\n<p>expected at least 5; observed 0<", page)  # without pictures
    assert re.search('<h1 class="failed">.* of 54 expectations .&lt;idx', page)

    links = re.findall(r'href="([^"]*)"', page)
    assert len(links) == 3
    for link in links:
        assert not re.search(
            r'<(script|link|img)[^>]*(src|href)="http', (tmp_path / link.replace("%20", " ")).read_text()
        )


def test_remote_parts_are_left_out() -> None:
    parts = (
        '<link rel="stylesheet" href="https://example.com/a.css">',
        '<script crossorigin="anonymous"\n src="https://example.com/a.js"></script>',
        "<script src='http://example.com/a.js'> </script>",
        '<img width="3" src="https://example.com/a.png"/>',
        '<footer class="x">\n<a href="https://example.com">news</a></footer>',
        "<script>\n$('.of-a-script-from-elsewhere').show()</script>",
    )
    page = without_remote_parts(f"<head></head><p>text</p>{'<p>more</p>'.join(parts)}")
    assert page.endswith(f"</head><p>text</p>{'<p>more</p>' * 5}")
