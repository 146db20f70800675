"""The gate lets good data pass with the same reports each time, and refuses bad data without any."""

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mnist_pipeline import paths
from mnist_pipeline.data.catalog import DATASET_NAMES, FILE_NAMES, TRAIN_LABELS
from mnist_pipeline.data.idx import format_idx, read_idx
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_json
from mnist_pipeline.params import Params, Suite
from mnist_pipeline.stages import validate
from mnist_pipeline.validation.expectations import Failure, Judgement

REPORTS = ("class_counts.csv", "metrics.json", "statistics.csv")


@dataclass
class Workplace:
    params: Params
    published: list[tuple[Any, ...]] = field(default_factory=list)

    def choose(self, dataset: str, suite: str) -> None:
        data = self.params.data.model_copy(update={"dataset": dataset})
        gate = self.params.validate_.model_copy(update={"suite": suite})
        self.params = self.params.model_copy(update={"data": data, "validate_": gate})

    def damage(self) -> None:
        """Gives the image 17 of train a label beyond the classes."""
        labels = read_idx(paths.RAW / TRAIN_LABELS).copy()
        labels[17] = 12
        (paths.RAW / TRAIN_LABELS).write_bytes(format_idx(labels))


@pytest.fixture
def workplace(params: Params, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A folder in which the stage can run; what it publishes comes with whether there were Data Docs to attach."""
    monkeypatch.chdir(tmp_path)
    paths.RAW.mkdir(parents=True)
    for name in FILE_NAMES:
        (paths.RAW / name).write_bytes((tiny_data / name).read_bytes())
    place = Workplace(params)
    publish = ModuleType("publish")
    publish.publish_validation = lambda *arguments: place.published.append(
        (*arguments, (paths.DATA_DOCS / "index.html").exists())
    )
    monkeypatch.setitem(sys.modules, "mnist_pipeline.tracking.publish", publish)
    return place


def reports() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths.VALIDATION.iterdir()}


def refuse(patch: pytest.MonkeyPatch) -> list[Suite]:
    """Lets the gate refuse whatever it is shown; gives the suites that it was to judge by."""
    suites: list[Suite] = []
    failure = Failure("label", "train", "0 to 9", "12", 1, (17,))

    def judge(tables: Any, facts: Any, suite: Suite, data_docs: Path) -> Judgement:
        suites.append(suite)
        return Judgement(63, (failure,))

    patch.setattr(validate, "judge", judge)
    return suites


def test_good_data_pass_with_the_same_reports_each_time(
    workplace: Workplace, capfd: pytest.CaptureFixture[str]
) -> None:
    validate.run(workplace.params)
    first = reports()
    printed = capfd.readouterr()
    validate.run(workplace.params)

    assert reports() == first
    assert tuple(sorted(first)) == REPORTS
    assert (printed.out, printed.err) == ("", "validate: all 63 expectations of the suite idx are met\n")
    metrics = read_json(paths.VALIDATION / "metrics.json")
    facts = metrics.pop("facts")
    assert metrics == {"passed": True, "suite": "idx", "expectations": 63}
    assert facts["train"]["images"] == 400
    counts = first["class_counts.csv"].decode().splitlines()
    assert counts[0] == "split,label,count"
    assert counts[1:] == [
        f"{split},{label},{count}" for split, count in (("train", 40), ("test", 20)) for label in range(10)
    ]
    assert workplace.published == [(workplace.params, True, facts, paths.DATA_DOCS, True)] * 2


def test_bad_data_are_refused_with_a_table_and_no_reports(
    workplace: Workplace, capfd: pytest.CaptureFixture[str]
) -> None:
    workplace.damage()
    with pytest.raises(
        PipelineError, match=r"^data/raw: 1 of 63 expectations of .*\.idx .*index\.html, .*\(make ui\)$"
    ):
        validate.run(workplace.params)
    assert not paths.VALIDATION.exists()

    printed = capfd.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 6
    row = [cell.strip() for cell in printed.err.splitlines()[4].split("│")]
    assert row == ["", "train", "label", "0 to 9", "12", "1", "17", ""]

    ((params, passed, facts, data_docs, documented),) = workplace.published
    assert (params, passed, data_docs, documented) == (workplace.params, False, paths.DATA_DOCS, True)
    assert facts["train"]["count"]["12"] == 1


def test_files_that_cannot_be_read_are_a_failed_run_too(workplace: Workplace) -> None:
    validate.run(workplace.params)
    workplace.published.clear()
    labels = paths.RAW / TRAIN_LABELS
    labels.write_bytes(labels.read_bytes()[:-1])
    with pytest.raises(PipelineError, match=TRAIN_LABELS):
        validate.run(workplace.params)
    assert workplace.published == [(workplace.params, False, {}, paths.DATA_DOCS, True)]
    assert TRAIN_LABELS in (paths.DATA_DOCS / "index.html").read_text()


def test_without_data_there_is_no_run(workplace: Workplace) -> None:
    shutil.rmtree(paths.RAW)
    with pytest.raises(PipelineError, match="No such file"):
        validate.run(workplace.params)
    assert not workplace.published


def test_a_refusal_takes_away_the_reports_of_an_earlier_pass(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.VALIDATION.mkdir(parents=True)
    for name in REPORTS:
        (paths.VALIDATION / name).touch()
    refuse(monkeypatch)
    with pytest.raises(PipelineError):
        validate.run(workplace.params)
    assert reports() == {}


@pytest.mark.parametrize(
    ("dataset", "suite", "chosen"),
    [*((dataset, "auto", dataset) for dataset in DATASET_NAMES), ("idx", "mnist", "mnist"), ("mnist", "idx", "idx")],
)
def test_the_suite_is_that_of_the_data_or_the_one_named(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, dataset: str, suite: str, chosen: str
) -> None:
    workplace.choose(dataset, suite)
    suites = refuse(monkeypatch)
    with pytest.raises(PipelineError, match=rf"validate\.suites\.{chosen} are not met"):
        validate.run(workplace.params)
    assert suites == [workplace.params.validate_.suites[chosen]]


@pytest.mark.parametrize(("dataset", "suite"), [("kmnist", "auto"), ("idx", "kmnist")])
def test_a_suite_that_params_lack_is_named(workplace: Workplace, dataset: str, suite: str) -> None:
    suites = {name: suite for name, suite in workplace.params.validate_.suites.items() if name != "kmnist"}
    gate = workplace.params.validate_.model_copy(update={"suites": suites})
    workplace.params = workplace.params.model_copy(update={"validate_": gate})
    workplace.choose(dataset, suite)
    with pytest.raises(PipelineError, match=r"^params\.yaml: validate\.suites has no section kmnist"):
        validate.run(workplace.params)
    assert not workplace.published
