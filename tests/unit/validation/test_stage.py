"""Good data pass with the same reports each time; bad data leave none, and a message that names what failed."""

import errno
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from great_expectations.data_context import EphemeralDataContext

from mnist_pipeline import paths
from mnist_pipeline.commands import profile
from mnist_pipeline.data.catalog import DATASETS
from mnist_pipeline.data.idx import TEST_IMAGES, TRAIN_IMAGES, TRAIN_LABELS, format_idx, read_idx
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_json
from mnist_pipeline.formats import directory_digest
from mnist_pipeline.params import Params
from mnist_pipeline.stages import validate
from mnist_pipeline.validation.suite import load_suite, suite_path

ROOT = Path(__file__).parents[3]
REPORTS = {"class_counts.csv", "facts.json", "statistics.csv", "verdict.json"}


@dataclass
class Workplace:
    params: Params
    published: list[tuple[Any, ...]] = field(default_factory=list)

    def choose(self, dataset: str, suite: str) -> None:
        data = self.params.data.model_copy(update={"dataset": dataset})
        chosen = self.params.validate_.model_copy(update={"suite": suite})
        self.params = self.params.model_copy(update={"data": data, "validate_": chosen})

    def run(self) -> None:
        validate.run(self.params)

    def change(self, name: str, change: Any) -> None:
        (paths.RAW / name).write_bytes(format_idx(change(read_idx(paths.RAW / name).copy())))


@pytest.fixture
def workplace(params: Params, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A folder in which the stage can run; what it publishes comes with the files that there are at that moment."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_data, paths.RAW)
    shutil.copytree(ROOT / "suites", paths.SUITES)
    place = Workplace(params)
    publish = ModuleType("publish")
    publish.publish_validation = lambda params, passed, facts, data_docs: place.published.append(
        (passed, facts, (data_docs / "index.html").exists(), set(reports()))
    )
    monkeypatch.setitem(sys.modules, "mnist_pipeline.tracking.publish", publish)
    return place


def reports() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths.VALIDATION.glob("*")}


def test_good_data_pass_with_the_same_reports_each_time(workplace: Workplace) -> None:
    workplace.run()
    first = reports()
    (paths.DATA_DOCS / "of_an_earlier_run.html").touch()
    workplace.run()
    assert reports() == first
    assert not (paths.DATA_DOCS / "of_an_earlier_run.html").exists()
    assert set(first) == REPORTS
    images = {"train": [400, 28, 28], "test": [200, 28, 28]}
    assert read_json(paths.VERDICT) == {"passed": True, "data_md5": directory_digest(paths.RAW), "images": images}
    report = read_json(paths.VALIDATION / "facts.json")
    assert (report["suite"], report["expectations"], report["facts"]["train"]["images"]) == ("idx", 63, 400)
    counts = [f"{split},{label},{count}" for split, count in (("train", 40), ("test", 20)) for label in range(10)]
    assert first["class_counts.csv"].decode().splitlines() == ["split,label,count", *counts]
    assert workplace.published == [(True, report["facts"], True, REPORTS)] * 2


def test_bad_data_take_the_reports_of_an_earlier_run_away(workplace: Workplace, capfd) -> None:
    workplace.run()
    workplace.published.clear()
    workplace.change(TRAIN_LABELS, lambda labels: np.where(np.arange(400) == 17, 12, labels).astype(np.uint8))
    capfd.readouterr()
    with pytest.raises(PipelineError, match=r"^data/raw: 1 of 63 .*suites/idx\.yaml .*index\.html"):
        workplace.run()
    assert reports() == {}
    ((passed, facts, documented, published),) = workplace.published
    assert (passed, facts["train"]["count"]["12"], documented, published) == (False, 1, True, set())
    row = [cell.strip() for cell in capfd.readouterr().err.splitlines()[4].split("│")]
    assert row == ["", "train", "label", "0 to 9", "12", "1", "17", ""]


def test_files_that_cannot_be_read_are_a_failed_run_too(workplace: Workplace) -> None:
    labels = paths.RAW / TRAIN_LABELS
    labels.write_bytes(labels.read_bytes()[:-1])
    with pytest.raises(PipelineError, match=TRAIN_LABELS):
        workplace.run()
    assert workplace.published == [(False, {}, True, set())]
    assert TRAIN_LABELS in (paths.DATA_DOCS / "index.html").read_text()
    shutil.rmtree(paths.RAW)  # without data there is no run
    with pytest.raises(PipelineError, match="data/raw"):
        workplace.run()
    assert len(workplace.published) == 1


@pytest.mark.parametrize("shape", [(1, 1, 90_000), (2, 3, 1)])
def test_images_of_any_shape_fail_without_a_traceback(workplace: Workplace, shape: tuple[int, ...]) -> None:
    for name in (TRAIN_IMAGES, TRAIN_LABELS):
        content = np.ones(shape if name == TRAIN_IMAGES else shape[0], np.uint8)
        (paths.RAW / name).write_bytes(format_idx(content))
    with pytest.raises(PipelineError, match="expectations"):
        workplace.run()


def test_a_full_disk_is_one_message(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr(EphemeralDataContext, "build_data_docs", full)
    with pytest.raises(PipelineError, match=r"data_docs: .*no space left"):
        workplace.run()
    assert (reports(), paths.DATA_DOCS.exists()) == ({}, False)


def test_the_suite_is_that_of_the_data_or_the_one_named(workplace: Workplace) -> None:
    for dataset, suite, chosen in (*((name, "auto", name) for name in DATASETS), ("idx", "mnist", "mnist")):
        workplace.choose(dataset, suite)
        assert load_suite(suite_path(workplace.params)) == load_suite(ROOT / f"suites/{chosen}.yaml")
    workplace.choose("idx", "own")
    with pytest.raises(PipelineError, match=r"suites/own\.yaml"):
        workplace.run()
    assert not workplace.published


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("classes: 10", "classes: 1", "classes"),
        ("train_counts: null", "train_counts: [1, 2]", "train_counts"),
        ("pixel_mean: [0.01, 0.7]", "pixel_mean: [0.7, 0.01]", "pixel_mean"),
        ("min_agreement: 0.3", "min_agreement: 0.3\nminimum: 3", "minimum"),
    ],
)
def test_a_wrong_value_in_a_suite_is_named(workplace: Workplace, before: str, after: str, key: str) -> None:
    path = paths.SUITES / "idx.yaml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(PipelineError, match=rf"suites/idx\.yaml: .*{key}"):
        workplace.run()


def test_profile_writes_a_suite_that_the_data_meet_and_fewer_do_not(workplace: Workplace) -> None:
    for exact, name in ((True, "idx"), (False, "new")):
        workplace.choose("idx", name if name == "new" else "auto")
        profile.run(workplace.params, exact_counts=exact)
        workplace.run()
    old, new = (load_suite(paths.SUITES / f"{name}.yaml") for name in ("idx", "new"))
    assert (old.train_counts, new.train_counts) == ([40] * 10, None)
    assert (paths.SUITES / "idx.yaml").read_text().startswith("# ")
    workplace.choose("idx", "auto")
    with pytest.raises(PipelineError, match=r"suites/idx\.yaml .*--exact-counts"):
        profile.run(workplace.params, exact_counts=False)
    for name in (TRAIN_IMAGES, TRAIN_LABELS):
        workplace.change(name, lambda array: array[:-1])
    with pytest.raises(PipelineError, match="1 of 61 expectations"):
        workplace.run()


def test_data_that_no_suite_lets_pass_change_nothing(workplace: Workplace) -> None:
    before = (paths.SUITES / "idx.yaml").read_text()
    for name in (TRAIN_IMAGES, TEST_IMAGES):
        workplace.change(name, lambda images: np.pad(images, ((0, 0), (6, 6), (6, 6))))
    with pytest.raises(PipelineError, match=r"^data/raw: .*height: expected 28, observed 40"):
        profile.run(workplace.params, exact_counts=True)
    assert (paths.SUITES / "idx.yaml").read_text() == before
