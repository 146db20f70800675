"""Which rows show an artifact, told without MLflow's own types."""

from dataclasses import dataclass

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mnist_pipeline.tracking import runs
from mnist_pipeline.tracking.store import open_store, told_in_one_line


@dataclass(frozen=True)
class TrackedRun:
    """A row: its name, id and status, whether a stage or `sync` wrote it, and the MD5 of what it is of."""

    name: str
    run_id: str
    status: str
    source: str
    md5: str


def find_tracked(experiment: str, md5: str) -> list[TrackedRun]:
    """The rows of trained weights, or of data, with this MD5.

    Raises:
        PipelineError: MLflow fails.
    """
    with told_in_one_line():
        store = open_store(experiment)
        found = runs.find_runs(store.client, store.models, {"dvc.md5": md5})
        found += runs.find_runs(store.client, store.data, {"data.md5": md5})
    return [_tracked(run) for run in found]


def tracked_run(experiment: str, run_id: str) -> TrackedRun | None:
    """The row with this id; none where there is none.

    Raises:
        PipelineError: MLflow fails.
    """
    with told_in_one_line():
        store = open_store(experiment)
        try:
            return _tracked(store.client.get_run(run_id))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise


def _tracked(run: Run) -> TrackedRun:
    tags = run.data.tags
    of_data = tags.get("dvc.stage") in ("download", "validate")
    md5 = tags.get("data.md5" if of_data else "dvc.md5", "")
    return TrackedRun(str(run.info.run_name), str(run.info.run_id), str(run.info.status), tags.get("source", ""), md5)
