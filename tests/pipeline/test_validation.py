"""Bad data ends the pipeline at validation."""

import numpy as np
from mlflow import MlflowClient

from mnist_pipeline.data.idx import FILE_NAMES, TRAIN_LABELS, format_idx, read_idx


def test_bad_data_stops_before_training_and_leaves_a_failed_run(project, tmp_path) -> None:
    source = project.params()["data"]["source"]
    for name in FILE_NAMES:
        array = read_idx(project.path / source / name)
        if name == TRAIN_LABELS:
            array = np.where(array == 3, 4, array).astype(np.uint8)
        (tmp_path / name).write_bytes(format_idx(array))
    params = project.params()
    params["data"]["source"] = str(tmp_path)
    project.write_params(params)

    printed = project.run("dvc", "repro", code=255)

    assert "Traceback" not in printed
    assert not (project.path / "reports/validate/verdict.json").exists()
    assert not (project.path / "models").exists()
    client = MlflowClient(f"sqlite:///{project.path}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("mnist-pipeline-data")
    (run,) = client.search_runs([experiment.experiment_id], filter_string="tags.`dvc.stage` = 'validate'")
    assert run.info.status == "FAILED"
    assert client.list_artifacts(run.info.run_id)
