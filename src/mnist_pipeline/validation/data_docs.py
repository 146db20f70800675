"""Pages about a judgement that need no network: one of our own, with pictures, and those of Great Expectations."""

import re
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.files import write_text
from mnist_pipeline.validation.expectations import Failure, Judgement
from mnist_pipeline.validation.profile import Tables

DETAILS = "great_expectations"
"""The folder beside the page for what Great Expectations writes."""
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
"""Without what moves only by a script, and with words where icons would come from elsewhere."""
STYLE = """
body { font-family: system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222 }
h1 { font-size: 1.5em } h2 { font-size: 1.1em; margin: 2em 0 .3em }
p { margin: .3em 0 } .refused { color: #b34700 } .met { color: #0b5d8a }
ul { display: flex; flex-wrap: wrap; gap: 1em; list-style: none; padding: 0 }
li { text-align: center; font-size: .8em; color: #555 }
img { width: 112px; height: 112px; image-rendering: pixelated; border: 1px solid #ccc; display: block }
"""


def write_page(
    folder: Path, suite: str, judgement: Judgement, splits: Mapping[SplitName, Split], tables: Tables
) -> None:
    """Writes `index.html` in `folder`: what was not met, with the first images that broke it.

    `tables` are what was judged. Takes all that a browser would fetch from the network out of the pages of Great
    Expectations, which are in `folder` already.
    """
    details = folder / DETAILS
    for page in details.rglob("*.html"):
        write_text(page, without_remote_parts(page.read_text(encoding="utf-8")))
    (details / "index.html").unlink(missing_ok=True)  # without a script from the network it lists nothing
    parts = [_verdict(suite, judgement), *(_failure(failure, splits, tables) for failure in judgement.failures)]
    links = _links(folder, details / "validations")
    parts.append(f"<h2>Every expectation, as Great Expectations tells of it</h2><p>{links}</p>")
    write_text(folder / "index.html", _page("".join(parts)))


def write_reason(folder: Path, reason: str) -> None:
    """Writes `index.html` in `folder` about data that cannot be read, and so not be judged."""
    write_text(
        folder / "index.html", _page(f'<h1 class="refused">The gate refuses the data</h1><p>{escape(reason)}</p>')
    )


def without_remote_parts(page: str) -> str:
    """A page without the styles and pictures that come from elsewhere, and without its advertisements.

    It has no script either, as all of them call one from elsewhere. Its way home leads to the page of `write_page`.
    """
    page = HOME.sub(r'href="\1../index.html"', REMOTE_PICTURE.sub("none", REMOTE.sub("", page)))
    return page.replace("</head>", f"{PLAIN}</head>", 1)


def _page(parts: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>The gate</title><style>{STYLE}</style>'
        f"</head><body>{parts}</body></html>\n"
    )


def _links(folder: Path, validations: Path) -> str:
    pages = {page.relative_to(validations).parts[0]: page for page in sorted(validations.rglob("*.html"))}
    return " · ".join(f'<a href="{quote(str(page.relative_to(folder)))}">{name}</a>' for name, page in pages.items())


def _verdict(suite: str, judgement: Judgement) -> str:
    asked, failed = judgement.expectations, len(judgement.failures)
    if failed:
        count = f"{failed} of {asked}"
        return f'<h1 class="refused">The gate refuses the data: {count} expectations ({suite}) are not met</h1>'
    return f'<h1 class="met">The gate lets the data pass: all {asked} expectations ({suite}) are met</h1>'


def _failure(failure: Failure, splits: Mapping[SplitName, Split], tables: Tables) -> str:
    text = f"<h2>{escape(failure.table)}: {escape(failure.column)}</h2><p>expected {escape(failure.expected)}"
    if failure.rows is None:
        return f"{text}; observed {escape(failure.observed)}</p>"
    pictures = [
        _picture(splits[name].images[place], place, splits[name].labels[place], tables[name][failure.column][place])
        for name in splits
        if name == failure.table
        for place in failure.examples
    ]
    images = "1 image" if failure.rows == 1 else f"{failure.rows:,} images"
    first = ", of which these are the first" if failure.rows > len(pictures) else ""
    return f"{text}; not so in {images}{first}</p><ul>{''.join(pictures)}</ul>"


def _picture(image: NDArray[np.uint8], place: int, label: int, value: object) -> str:
    content = BytesIO()
    Image.fromarray(image).save(content, format="png")
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    encoded = b64encode(content.getvalue()).decode()
    return (
        f'<li><img src="data:image/png;base64,{encoded}" alt="image {place}">'
        f"image {place}, label {label}<br>{escape(shown[:12])}</li>"
    )
