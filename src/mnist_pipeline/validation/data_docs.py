"""Pages about a validation that need no network: one of our own, with pictures, and those of Great Expectations."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from PIL import Image

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.files import write_text
from mnist_pipeline.validation.expectations import Failure, class_name
from mnist_pipeline.validation.statistics import Tables

DETAILS = "great_expectations"
"""The folder beside the page for what Great Expectations writes."""
LARGEST = 224  # pixels a side of a picture on the page
REMOTE = re.compile(
    r"""<script\b.*?</script>|<(?:link|img)[^>]*\b(?:href|src)=["']https?:[^>]*>|<footer.*?</footer>""",
    re.DOTALL,
)
REMOTE_PICTURE = re.compile(r"""url\(["']?https?:[^)]*\)""")
HOME = re.compile(r'href="((?:\.\./)*)index\.html"')
PLAIN = """<style>
body { font-family: sans-serif; margin: 2em } td, th { padding: .2em .8em; text-align: left }
.card.mb-3, [data-toggle=collapse] { display: none }
i.text-success::before { content: "met"; color: #0b5d8a }
i.text-danger:not([aria-hidden])::before { content: "not met"; color: #b34700 }
</style>"""
"""Hides what only a script could move, and puts words where icons would come from elsewhere."""


def write_page(
    folder: Path,
    suite: str,
    expectations: int,
    failures: Sequence[Failure],
    splits: Mapping[SplitName, Split],
    tables: Tables,
    label_names: Sequence[str],
) -> None:
    """Write `index.html` in `folder`: what is not met, with the first images that are unexpected.

    `tables` are those that were checked. Removes all that a browser would fetch from the network from the pages of
    Great Expectations, which are in `folder` already.
    """
    details = folder / DETAILS
    for page in details.rglob("*.html"):
        write_text(page, without_remote_parts(page.read_text(encoding="utf-8")))
    (details / "index.html").unlink(missing_ok=True)  # without a script from the network it lists nothing
    validations = details / "validations"
    links = {
        page.relative_to(validations).parts[0]: quote(page.relative_to(folder).as_posix())
        for page in sorted(validations.rglob("*.html"))
    }
    shown = [(failure, _pictures(failure, splits, tables, label_names)) for failure in failures]
    write_index(folder, suite=suite, expectations=expectations, failures=shown, links=links)


def without_remote_parts(page: str) -> str:
    """A page without the styles and pictures that come from elsewhere, and without its advertisements.

    It has no script either, as all of them call one from elsewhere. Its link home leads to the page of `write_page`.
    """
    page = HOME.sub(r'href="\1../index.html"', REMOTE_PICTURE.sub("none", REMOTE.sub("", page)))
    return page.replace("</head>", f"{PLAIN}</head>", 1)


def write_index(folder: Path, **values: Any) -> None:
    """Write `index.html` in `folder` of the values of the template: for data that cannot be read, the `reason`."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    write_text(folder / "index.html", environment.get_template("data_docs.html.j2").render(values))


def _pictures(
    failure: Failure, splits: Mapping[SplitName, Split], tables: Tables, label_names: Sequence[str]
) -> list[dict[str, Any]]:
    """The examples of a failure, each as a PNG with its file or place, its label and the value that is unexpected."""
    pictures = []
    for name, place in ((name, place) for name in splits if name == failure.table for place in failure.examples):
        value, png, image = tables[name][failure.column][place], BytesIO(), splits[name].images[place]
        picture = Image.fromarray(image if image.shape[2] > 1 else image[..., 0])
        picture.thumbnail((LARGEST, LARGEST))
        picture.save(png, format="png")
        shown = f"{value:g}" if isinstance(value, float) else str(value)[:12]
        encoded, label = b64encode(png.getvalue()).decode(), class_name(splits[name].labels[place], label_names)
        named = tables[name]["file"][place] if "file" in tables[name] else f"image {place}"
        pictures.append({"png": encoded, "image": named, "label": label, "value": shown})
    return pictures
