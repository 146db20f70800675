"""`mnist-pipeline profile` as people type it: the suite is written, or nothing is."""

import numpy as np

from mnist_pipeline.data import catalog
from mnist_pipeline.data.idx import format_idx, read_idx


def last_line(printed: str) -> str:
    assert "Traceback" not in printed
    return printed.splitlines()[-1]


def test_trusted_data_set_the_thresholds_and_pass_and_fewer_do_not(project) -> None:
    project.run("mnist-pipeline", "download")
    params = project.params()
    project.write_params(params | {"validate": params["validate"] | {"suite": "mnist"}})
    before = project.read("params.yaml")
    told = last_line(project.run("mnist-pipeline", "profile", code=1))
    assert told.startswith("error: validate.suites.mnist asks for exact counts of each class, which would be lost")
    assert project.read("params.yaml") == before
    project.write_params(params)
    before = project.params()
    assert "asks for data like these" in project.run("mnist-pipeline", "profile", "--exact-counts")
    after = project.params()
    suite = after["validate"]["suites"].pop("idx")
    assert before["validate"]["suites"].pop("idx") != suite
    assert after == before
    assert suite["train_counts"] == [40] * 10
    project.run("mnist-pipeline", "validate")
    for name in (catalog.TRAIN_IMAGES, catalog.TRAIN_LABELS):
        path = project.path / "data/raw" / name
        path.write_bytes(format_idx(read_idx(path)[:-1]))
    assert "expectations of validate.suites.idx are not met" in project.run("mnist-pipeline", "validate", code=1)


def test_data_that_no_suite_lets_pass_change_nothing(project) -> None:
    before = project.read("params.yaml")
    for name in (catalog.TRAIN_IMAGES, catalog.TEST_IMAGES):
        path = project.path / "data/raw" / name
        path.write_bytes(format_idx(np.pad(read_idx(path), ((0, 0), (6, 6), (6, 6)))))
    told = last_line(project.run("mnist-pipeline", "profile", "--exact-counts", code=1))
    assert told.startswith("error: data/raw: no suite lets these data pass: train, height: expected 28, observed 40")
    assert project.read("params.yaml") == before
