"""Experiments in folders and processes of their own, all told in one store."""

from tracked_content import rows_of


def test_experiments_elsewhere_and_queued_land_in_the_one_store(reproduced) -> None:
    before = len(rows_of(reproduced.path))
    stages = ("evaluate@mlp", "export@mlp")
    reproduced.run("dvc", "exp", "run", "--temp", "--set-param", "train.mlp.learning_rate=0.02", *stages)
    for rate in ("0.03", "0.04"):
        reproduced.run("dvc", "exp", "run", "--queue", "--set-param", f"train.mlp.learning_rate={rate}", *stages)
    printed = reproduced.run("dvc", "exp", "run", "--run-all", "--jobs", "2")
    found = {row.data.params["learning_rate"]: row for row in rows_of(reproduced.path)}
    assert {"0.02", "0.03", "0.04"} <= found.keys(), printed
    for rate in ("0.02", "0.03", "0.04"):
        assert found[rate].info.status == "FINISHED"
        assert {"val/accuracy", "test/accuracy", "onnx/max_logit_difference"} <= found[rate].data.metrics.keys()
    assert len(rows_of(reproduced.path)) == before + 3
