"""The rows of download and validate: one for the same settings, numbers and outcome on the same data."""

from collections.abc import Mapping

from mlflow.entities import Run

from mnist_pipeline.tracking import runs
from mnist_pipeline.tracking.alive import marked
from mnist_pipeline.tracking.content import Part, Version
from mnist_pipeline.tracking.store import Store


def add_data_row(store: Store, version: Version, part: Part, status: str, source: str) -> bool:
    """Writes the row of a data stage, unless there is one that shows the same; says whether it did."""
    return add_once(store, store.data, f"{part.stage}-{version.data_md5[:7]}", {}, version, part, status, source)


def add_once(
    store: Store,
    experiment: str,
    name: str,
    tags: Mapping[str, str],
    version: Version,
    part: Part,
    status: str,
    source: str,
) -> bool:
    """Writes a row that is whole with one part, unless there is one with these tags that shows the same."""
    identity = {"dvc.stage": part.stage, "data.md5": version.data_md5, **tags}
    with store.exclusive():
        if any(_shows(row, part, status) for row in runs.find_runs(store.client, experiment, identity)):
            return False
        run = store.client.create_run(experiment, run_name=name, tags={**identity, "source": source, **version.origin})
        with marked(store.client, run.info.run_id):
            runs.add(store.client, run.info.run_id, part)
            store.client.set_terminated(run.info.run_id, status)
        return True


def _shows(row: Run, part: Part, status: str) -> bool:
    return (row.data.params, row.data.metrics, row.info.status) == (part.params, part.metrics, status)
