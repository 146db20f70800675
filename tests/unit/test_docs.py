"""The documentation describes every parameter, and its tables are those of the measurements."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import images
import pictures
import recipe
import report
import results
import same_bytes
import speed
import speed_tables
import validation
from mnist_pipeline.serving.session import OLDEST_ONNXRUNTIME
from mnist_pipeline.validation.suite import Suite
from report import in_page, pages

ROOT = Path(__file__).parents[2]
ALONE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
DOCS = sorted((ROOT / "docs").rglob("*.md"))


def leaf_keys(content: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """`train.lenet.epochs` is documented as `train.<model>.epochs`; architectures are not shared."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from leaf_keys(value, f"{prefix}{name}.")
        else:
            key = f"{prefix}{name}"
            yield key if ".architecture." in key else re.sub(r"^train\.[\w-]+\.(?=\w)", "train.<model>.", key)


def test_every_parameter_is_described_and_no_other() -> None:
    keys = set(leaf_keys(yaml.safe_load((ROOT / "params.yaml").read_text())))
    keys |= Suite.model_fields.keys()
    described = {
        key
        for name in ("parameters", "search-and-tracking", "suites")
        for key in re.findall(r"^\| `([^`]+)` \|", (ROOT / f"docs/reference/{name}.md").read_text(), re.MULTILINE)
    }
    others = {key for key in keys if ".architecture." in key and key.split(".")[1] not in ("lenet", "mlp", "resnet")}
    assert described == keys - others


def measured(name: str) -> Any:
    return json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())


def test_the_tables_of_measurements_are_those_of_the_last_measurement() -> None:
    """Each is made from a file in benchmarks/results, against the parameters as they are now."""
    tables = recipe.tables() | speed_tables.tables(measured("speed")) | same_bytes.tables(measured("same_bytes"))
    tables |= pictures.tables(measured("pictures")) | validation.tables(measured("validation"))
    tables |= results.tables(measured("results")) | images.tables(measured("images"))
    texts = {page: page.read_text() for page in pages()}
    assert {page: in_page(text, tables) for page, text in texts.items()} == texts
    everything = "".join(texts.values())
    assert [name for name in tables if f"<!-- {name} -->" not in everything] == []


def test_what_is_measured_stays_beside_the_results_of_the_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who measures on a machine of their own changes no file that git has."""
    folder = ROOT / "benchmarks/measured"
    assert {script.MEASURED.parent for script in (recipe, speed, validation)} == {folder}
    assert f"/{folder.relative_to(ROOT)}" in (ROOT / ".gitignore").read_text().splitlines()
    monkeypatch.setattr(report, "__file__", str(tmp_path / "report.py"))
    monkeypatch.setattr("sys.argv", ["images.py"])
    report.measure_or_publish("images", lambda: {"seconds": 1}, lambda measured: {})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "measured/images.json"]


def test_the_recipe_of_the_tutorial_is_the_same_in_the_makefile_and_in_the_measurements() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^TUTORIAL := (.*)$", makefile, re.MULTILINE)
    values = dict(word.split("=") for word in line.split())
    assert {key: yaml.safe_load(value) for key, value in values.items()} == recipe.TUTORIAL


def test_the_fast_recipe_of_the_page_is_the_one_that_is_measured() -> None:
    values = re.findall(r"--set-param train\.lenet\.(\S+)=(\S+)", (ROOT / "docs/explanation/speed.md").read_text())
    assert {key: yaml.safe_load(value) for key, value in values} == speed.FAST


def test_the_oldest_onnxruntime_of_the_page_is_the_one_that_is_tested() -> None:
    words = " ".join((ROOT / "docs/how-to/use-a-model.md").read_text().split())
    (named,) = re.findall(r"runs in onnxruntime from (\S+), of", words)
    assert named == OLDEST_ONNXRUNTIME


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings: small letters, hyphens for spaces, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_a_page_is_short(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= 120, "lab notes belong in benchmarks/*.md, with a summary on the page"


@pytest.mark.parametrize("page", [*pages(), *(ROOT / name for name in ALONE)], ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)", page.read_text()):
        linked = page.parent / target if target else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}#{anchor}"
