"""The one row that a trained model has.

Weights and the settings that trained them are what a row is of: it carries the MD5 of the weights, as `dvc.lock` has
it, as its tag `dvc.md5`, and the settings as its parameters. Two rules keep it the only one:

1. Training that ends in weights and settings that have a row adds none: the new row goes, the earlier one stays.
2. MLflow never changes a parameter. Where evaluation or export comes again with other settings, the files and what
   the other of the two stages had added make a new row, and the old one goes.

Rows go as by the button on MLflow's page, and can be restored there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.entities import Run

from mnist_pipeline import paths
from mnist_pipeline.tracking import content, runs
from mnist_pipeline.tracking.alive import marked
from mnist_pipeline.tracking.content import Part, Version
from mnist_pipeline.tracking.model import log_onnx_model, move_models, show_metrics
from mnist_pipeline.tracking.store import Store

ORIGIN = ("source", "git.commit", "mlflow.source.git.commit", "git.dirty", "dvc.exp_name", "dvc.baseline_rev")
"""Tags that tell where the weights come from, whoever writes the row."""
LATER_STAGES = {"evaluate": ("test/", "robustness/", "ood/"), "export": ("onnx/",), "card": ()}
"""The stages that add to a row, each with the prefixes of its metrics; its parameters have its name."""


def open_row(store: Store, version: Version, model: str, source: str) -> str:
    """A new and empty row of a model that begins to train; `source` is `stage` or `sync`. Returns its id."""
    tags = {"dvc.stage": f"train@{model}", "data.md5": version.data_md5, "source": source, **version.origin}
    return str(store.client.create_run(store.models, run_name=model, tags=tags).info.run_id)


def complete_row(store: Store, version: Version, run_id: str, model: str, settings: Part, results: Part) -> None:
    """Closes the row of a model that has been trained, unless there is one already: the first rule."""
    with store.exclusive():
        md5 = version.weights_md5(model)
        if _rows(store, md5, settings):
            store.client.set_terminated(run_id, "FINISHED")
            runs.delete_run(store.client, run_id)
        else:
            _close(store, run_id, model, md5, results)


def find_or_make_row(store: Store, version: Version, model: str) -> tuple[Run, bool]:
    """The row of the weights, and whether it is new: where there was none, the files made it."""
    settings = content.training_settings(version, model)
    with store.exclusive():
        rows = _rows(store, version.weights_md5(model), settings)
        return (rows[0], False) if rows else (_row_from_files(store, version, model, settings), True)


def lacks(row: Run, part: Part, newest: bool) -> bool:
    """Whether a row waits for a part: it has none of that stage, or another where this is the newest."""
    shown = row.data.tags.get(_part_tag(part.stage))
    return shown is None or (newest and (shown != part.md5 or _contradicts(row, part)))


def add_part(store: Store, version: Version, model: str, part: Part) -> None:
    """Adds what `evaluate`, `export` or `card` made to the row of the weights.

    Where there is none (the training was a cache hit, or the server was down) the files make it.
    """
    run_id = _row_with_room(store, version, model, part)
    runs.add(store.client, run_id, part)
    if part.stage == "export":
        log_onnx_model(store.client, run_id, model, version.root / paths.onnx(model))
    show_metrics(store.client, run_id)
    runs.set_tags(store.client, run_id, {_part_tag(part.stage): part.md5})


def _row_with_room(store: Store, version: Version, model: str, part: Part) -> str:
    settings = content.training_settings(version, model)
    with store.exclusive():
        rows = _rows(store, version.weights_md5(model), settings)
        if rows and not _contradicts(rows[0], part):
            return str(rows[0].info.run_id)
        run_id = str(_row_from_files(store, version, model, settings).info.run_id)
        for old in rows[:1]:  # the second rule
            with _whole_or_deleted(store, run_id):
                _take_over(store, old, run_id, part.stage)
        return run_id


@contextmanager
def _whole_or_deleted(store: Store, run_id: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        runs.delete_run(store.client, run_id)
        raise


def _take_over(store: Store, old: Run, run_id: str, stage: str) -> None:
    """Puts a row in the place of the old one, from which it differs in what `stage` is about to add."""
    runs.set_tags(store.client, run_id, {tag: old.data.tags[tag] for tag in ORIGIN if tag in old.data.tags})
    for other in LATER_STAGES.keys() - {stage}:
        _carry_over(store, old, run_id, other)
    runs.delete_run(store.client, old.info.run_id)


def _rows(store: Store, weights_md5: str, settings: Part) -> list[Run]:
    """The rows of these weights and settings, newest first; more than one only where two clients met at a server."""
    found = runs.find_runs(store.client, store.models, {"dvc.md5": weights_md5})
    return [row for row in found if _trained_with(row) == settings.params]


def _trained_with(row: Run) -> dict[str, str]:
    later = tuple(f"{stage}." for stage in LATER_STAGES)
    return {name: value for name, value in row.data.params.items() if not name.startswith(later)}


def _part_tag(stage: str) -> str:
    """The tag with the MD5 of what a later stage added last; a row without it waits for that stage."""
    return f"{stage}.md5"


def _contradicts(row: Run, part: Part) -> bool:
    return any(row.data.params.get(name, value) != value for name, value in part.params.items())


def _row_from_files(store: Store, version: Version, model: str, settings: Part) -> Run:
    history = list(content.history(version, model))  # all is read before there is half a row
    md5, results = version.weights_md5(model), content.training_results(version, model)
    run_id = open_row(store, version, model, "sync")
    with marked(store.client, run_id):
        runs.add(store.client, run_id, settings)
        for epoch, metrics in history:
            runs.log_metrics(store.client, run_id, metrics, epoch)
        _close(store, run_id, model, md5, results)
    return store.client.get_run(run_id)


def _close(store: Store, run_id: str, model: str, md5: str, results: Part) -> None:
    runs.add(store.client, run_id, results)
    runs.set_tags(store.client, run_id, {"dvc.md5": md5, "mlflow.runName": content.row_name(model, md5)})
    store.client.set_terminated(run_id, "FINISHED")


def _carry_over(store: Store, old: Run, run_id: str, stage: str) -> None:
    """Moves what `stage` had added to the old row: latencies are in no file, and its files may be of other weights."""
    params = {name: value for name, value in old.data.params.items() if name.startswith(f"{stage}.")}
    metrics = {name: value for name, value in old.data.metrics.items() if name.startswith(LATER_STAGES[stage])}
    with TemporaryDirectory() as folder:
        artifacts = []
        if store.client.list_artifacts(old.info.run_id, stage):
            artifacts = [(Path(store.client.download_artifacts(old.info.run_id, stage, folder)), stage)]
        runs.add(store.client, run_id, Part(stage, params, metrics, artifacts))
    if _part_tag(stage) in old.data.tags:
        runs.set_tags(store.client, run_id, {_part_tag(stage): old.data.tags[_part_tag(stage)]})
    if stage == "evaluate" and old.inputs:
        store.client.log_inputs(run_id, old.inputs.dataset_inputs)
    if stage == "export":
        move_models(store.client, old, run_id)
