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
from mnist_pipeline.data.dataset import SplitName, split_file
from mnist_pipeline.data.idx import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, format_idx, read_idx
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_json, write_json, write_text
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
    write_json(paths.CLASSES, [f"bar {label}" for label in range(10)])
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
    images = {"train": [400, 28, 28, 1], "test": [200, 28, 28, 1]}
    assert read_json(paths.VERDICT) == {"passed": True, "data_md5": directory_digest(paths.RAW), "images": images}
    report = read_json(paths.VALIDATION / "facts.json")
    assert (report["suite"], report["expectations"], report["facts"]["train"]["images"]) == ("any", 22, 400)
    counts = [f"{split},{label},{count}" for split, count in (("train", 40), ("test", 20)) for label in range(10)]
    assert first["class_counts.csv"].decode().splitlines() == ["split,label,count", *counts]
    assert workplace.published == [(True, report["facts"], True, REPORTS)] * 2


def test_bad_data_take_the_reports_of_an_earlier_run_away(workplace: Workplace, capfd) -> None:
    workplace.run()
    workplace.published.clear()
    workplace.change(TRAIN_LABELS, lambda labels: np.where(np.arange(400) == 17, 12, labels).astype(np.uint8))
    capfd.readouterr()
    with pytest.raises(PipelineError, match=r"^data/raw: 1 of 22 .*suites/any\.yaml .*index\.html"):
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
    for names, problem in (((TRAIN_IMAGES, TRAIN_LABELS), "28×28×1 in test"), ((TEST_IMAGES, TEST_LABELS), "expect")):
        for name in names:
            content = np.ones(shape if "images" in name else shape[0], np.uint8)
            (paths.RAW / name).write_bytes(format_idx(content))
        with pytest.raises(PipelineError, match=problem):
            workplace.run()
    assert [facts == {} for _, facts, *_ in workplace.published] == [True, False]


def test_a_full_disk_is_one_message(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr(EphemeralDataContext, "build_data_docs", full)
    with pytest.raises(PipelineError, match=r"data_docs: .*no space left"):
        workplace.run()
    assert (reports(), paths.DATA_DOCS.exists()) == ({}, False)


def test_the_suite_is_that_of_the_data_or_the_one_named(workplace: Workplace) -> None:
    own = ("mnist", "fashion-mnist", "kmnist")
    auto = [(name, "auto", name if name in own else "any") for name in DATASETS]
    for dataset, suite, chosen in (*auto, ("idx", "mnist", "mnist")):
        workplace.choose(dataset, suite)
        assert load_suite(suite_path(workplace.params)) == load_suite(ROOT / f"suites/{chosen}.yaml")
    workplace.choose("idx", "own")
    with pytest.raises(PipelineError, match=r"suites/own\.yaml"):
        workplace.run()
    assert not workplace.published


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("contrast", "classes: 1\ncontrast", "classes"),
        ("contrast", "train_counts: [1, 2]\ncontrast", "train_counts"),
        ("contrast: [1, 128]", "contrast: [128, 1]", "contrast"),
        ("contrast", "minimum: 3\ncontrast", "minimum"),
        ("max_blank_share: 0.001\n", "", "max_blank_share is missing"),
    ],
)
def test_a_wrong_value_in_a_suite_is_named(workplace: Workplace, before: str, after: str, key: str) -> None:
    path = paths.SUITES / "any.yaml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(PipelineError, match=rf"suites/any\.yaml: .*{key}"):
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
    with pytest.raises(PipelineError, match="1 of 53 expectations"):
        workplace.run()


def lose(workplace: Workplace, label: int, *splits: SplitName) -> None:
    """Take all images of a class out of some splits."""
    for split in splits:
        labels, images = (split_file(paths.RAW, split, kind) for kind in ("labels", "images"))
        kept = read_idx(labels) != label
        workplace.change(images.name, lambda array, kept=kept: array[kept])
        workplace.change(labels.name, lambda array, kept=kept: array[kept])


def test_a_class_without_training_images_is_refused_by_name(workplace: Workplace) -> None:
    lose(workplace, 4, "train", "test")
    for exact in (True, False):
        with pytest.raises(
            PipelineError, match=r"^data/raw: .*train/count/4 \(bar 4\): expected (at least )?\d+, .* 0;"
        ):
            profile.run(workplace.params, exact_counts=exact)
    assert not (paths.SUITES / "idx.yaml").exists()
    with pytest.raises(PipelineError, match=r"^data/raw: 1 of "):
        workplace.run()


def test_a_class_without_test_images_is_warned_of_and_the_others_are_kept(workplace: Workplace, capfd) -> None:
    lose(workplace, 4, "test")
    profile.run(workplace.params, exact_counts=False)
    suite = load_suite(paths.SUITES / "idx.yaml")
    assert (suite.without_test_images, suite.test_min_per_class) == ([4], 1)
    capfd.readouterr()
    workplace.run()
    assert "warning: data/raw: 1 of 10 classes have no test image" in (printed := capfd.readouterr().err)
    assert "4 (bar 4)" in printed
    lose(workplace, 7, "test")
    with pytest.raises(PipelineError, match=r"^data/raw: 1 of "):
        workplace.run()
    assert "test/count/7 (bar 7)" in capfd.readouterr().err


def test_no_suite_of_pictures_of_all_kinds_is_overwritten(workplace: Workplace) -> None:
    workplace.choose("idx", "any")
    with pytest.raises(PipelineError, match=r"suites/any\.yaml .*validate\.suite"):
        profile.run(workplace.params, exact_counts=False)


def test_files_and_unreadable_pictures_are_named(workplace: Workplace, capfd) -> None:
    """Image 3 of test is grey; of 606 pictures, six cannot be read at first, and seven later."""
    workplace.change(
        TEST_IMAGES, lambda images: np.where(np.arange(200)[:, None, None] == 3, 9, images).astype(np.uint8)
    )
    read = [
        f"{split},{place},{split}/{place}.png,"
        for split, count in (("train", 400), ("test", 200))
        for place in range(count)
    ]
    unreadable = [f",,cats/{number}.png,cut off" for number in range(7)]
    for broken in (6, 7):
        write_text(paths.RAW / "pictures.csv", "\n".join(["split,image,file,problem", *read, *unreadable[:broken], ""]))
        with pytest.raises(PipelineError, match=f"{broken - 5} of 22 "):
            workplace.run()
        printed = capfd.readouterr().err
        assert "test/3.png" in printed
        assert ("cats/0.png (cut off)" in printed) == (broken == 7)
    page = (paths.DATA_DOCS / "index.html").read_text()
    assert "test/3.png, label" in page
    assert "cats/0.png (cut off)" in page
