"""The rows of download and validate: one for the same settings, numbers and outcome on the same data."""

from mlflow.entities import Run

from mnist_pipeline.tracking import runs
from mnist_pipeline.tracking.alive import marked
from mnist_pipeline.tracking.content import Part, Version
from mnist_pipeline.tracking.store import Store


def add_data_row(store: Store, version: Version, part: Part, status: str, source: str) -> bool:
    """Writes the row of a data stage, unless there is one that shows the same; says whether it did."""
    data_md5 = version.data_md5
    tags = {"dvc.stage": part.stage, "data.md5": data_md5}
    with store.exclusive():
        shown = runs.find_runs(store.client, store.data, tags)
        if any(_shows(row, part, status) for row in shown):
            return False
        tags |= {"source": source, **version.origin}
        run = store.client.create_run(store.data, run_name=f"{part.stage}-{data_md5[:7]}", tags=tags)
        with marked(store.client, run.info.run_id):
            runs.add(store.client, run.info.run_id, part)
            store.client.set_terminated(run.info.run_id, status)
        return True


def _shows(row: Run, part: Part, status: str) -> bool:
    return (row.data.params, row.data.metrics, row.info.status) == (part.params, part.metrics, status)
