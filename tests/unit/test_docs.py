"""The documentation names every parameter, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def leaf_keys(content: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from leaf_keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def generic(key: str) -> str:
    """`train.lenet.epochs` is documented as `train.<model>.epochs`, and suites alike; architectures are not shared."""
    if ".architecture." not in key:
        key = re.sub(r"^train\.[\w-]+\.(?=\w)", "train.<model>.", key)
    return re.sub(r"^validate\.suites\.[\w-]+\.", "validate.suites.<suite>.", key)


def test_every_parameter_has_its_row_and_every_row_its_parameter() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    documented = set(re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/parameters.md").read_text(), re.MULTILINE))
    assert documented == {generic(key) for key in leaf_keys(params)}


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
