"""requirements.lock and pyproject.toml agree."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIREMENTS = [
    *PROJECT["project"]["dependencies"],
    *(line for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra),
    *PROJECT["dependency-groups"]["dev"],
    *PROJECT["build-system"]["requires"],
]
LOCKED = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))


@pytest.mark.parametrize("line", REQUIREMENTS)
def test_the_lock_pins_what_pyproject_requires(line: str) -> None:
    wanted = Requirement(line)
    assert canonicalize_name(wanted.name) in LOCKED, "run make lock"
    assert wanted.specifier.contains(LOCKED[canonicalize_name(wanted.name)]), "run make lock"


@pytest.mark.parametrize("name", ["mlflow", "dvc", "onnxruntime"])
def test_a_library_whose_private_parts_are_used_has_an_upper_bound_wherever_it_is_required(name: str) -> None:
    wanted = [requirement for requirement in map(Requirement, REQUIREMENTS) if requirement.name == name]
    assert wanted
    major, minor, *_ = Version(LOCKED[name]).release
    assert [str(each) for each in wanted if each.specifier.contains(f"{major}.{minor + 1}")] == []


def test_torch_and_torchvision_are_the_pair_that_was_tested() -> None:
    assert (LOCKED["torch"], LOCKED["torchvision"]) == ("2.14.1", "0.29.1")


def test_every_pin_has_a_checksum() -> None:
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    assert all("--hash=sha256:" in block for block in blocks if not block.startswith("#"))
