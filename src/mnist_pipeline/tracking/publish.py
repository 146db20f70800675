"""What the stages show in MLflow. A store that fails costs the run, never the stage: `sync` writes it later."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic
from typing import Any, TypeVar, cast

from mlflow import MlflowClient

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.formats import json_text
from mnist_pipeline.params import Params, Tracking
from mnist_pipeline.tracking import results, runs
from mnist_pipeline.tracking.address import root
from mnist_pipeline.tracking.results import of_work_tree
from mnist_pipeline.tracking.store import Store, is_store_error, open_store, quiet, reason

LATENCIES = ("latency_ms", "latency_ratio", "int8_latency_ratio")
"""Those that are metrics; all are in the artifact `export/latency.json`."""
Result = TypeVar("Result")


def publish(params: Params, stage: str, model: str | None = None, measured: Mapping[str, float] | None = None) -> None:
    """Show what a stage wrote: download and compare in a run of their own, the others in that of the model.

    `measured` are latencies, which are in no file that DVC keeps.
    """

    def write(store: Store) -> None:
        snapshot = of_work_tree(params, new_data=stage == "download")
        if model is None:
            update = results.download(snapshot) if stage == "download" else results.comparison(snapshot)
            runs.write_once(store, stage, snapshot, update, "stage")
            return
        update = results.after_training(snapshot, stage, model)
        with TemporaryDirectory() as folder:
            if measured:
                file = Path(folder) / "latency.json"
                file.write_text(json_text(measured))
                metrics = {f"onnx/{name}": measured[name] for name in LATENCIES if name in measured}
                artifacts = [*update.artifacts, (file, stage)]
                update = replace(update, metrics={**update.metrics, **metrics}, artifacts=artifacts)
            runs.write_model_run(store, snapshot, model, [update])

    Breaker(params.tracking).call(write)


def publish_validation(params: Params, passed: bool, facts: Mapping[str, Any], data_docs: Path) -> None:
    """Show what the validation of the data found, with Data Docs; files that cannot be read have no facts."""

    def write(store: Store) -> None:
        snapshot = of_work_tree(params, new_data=not passed)
        update = results.validation(snapshot, facts, data_docs)
        runs.write_once(store, "validate", snapshot, update, "stage", "FINISHED" if passed else "FAILED")

    Breaker(params.tracking).call(write)


@contextmanager
def live_run(params: Params, model: str) -> Iterator["LiveRun"]:
    """The run of a model that trains within the block, which writes the files that complete it.

    An error marks the run FAILED, Ctrl-C KILLED.
    """
    breaker = Breaker(params.tracking)

    def begin(store: Store) -> str:
        snapshot = of_work_tree(params)
        tags = runs.training_tags(snapshot, model, "stage")
        name = results.run_name(model, snapshot, "training")
        return runs.start_training(store, snapshot, model, store.models, name, tags)

    live = LiveRun(breaker, begin)
    try:
        yield live
    except BaseException as error:
        live.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    breaker.call(lambda store: runs.write_model_run(store, of_work_tree(params), model, [], live.run_id))


class LiveRun:
    """A run of something that trains. Once MLflow failed it takes nothing more: a run with gaps would look whole."""

    def __init__(self, breaker: "Breaker", begin: Callable[[Store], str]) -> None:
        self._breaker = breaker
        self.run_id = breaker.call(begin) or ""

    def log_epoch(self, row: Mapping[str, Any]) -> None:
        """Add one row of `history.csv` to the curves."""
        points, epoch = results.curve_points(row), int(row["epoch"])
        self._breaker.call(lambda store: runs.log_metrics(store.client, self.run_id, points, epoch))

    def end(self, status: str, tags: Mapping[str, str] | None = None) -> None:
        """Close the run as it is. A failure is a warning even with `tracking.strict`: it must hide no other error."""

        def close(store: Store) -> None:
            runs.set_tags(store.client, self.run_id, tags or {})
            store.client.set_terminated(self.run_id, status)

        self._breaker.call(close, strict=False)


class Breaker:
    """A circuit breaker around MLflow: after its first failure, or when the time budget is spent, it is not called.

    Each call runs in a thread that can be abandoned: no timeout of MLflow's covers a server that sends a byte now and
    then, or a database that is tried again and again.
    """

    def __init__(self, settings: Tracking, otherwise: str = "the stage continues; mnist-pipeline sync adds it") -> None:
        self._settings, self._otherwise = settings, otherwise
        self.renew()
        self._store: Store | None = None
        self.is_open = False

    def renew(self) -> None:
        """Give what follows the whole time budget."""
        self._seconds_left = self._settings.time_budget_seconds

    def call(self, work: Callable[[Store], Result], strict: bool | None = None) -> Result | None:
        """The result of the work; None where MLflow failed, which one warning reports.

        Raises:
            PipelineError: it failed now, and `strict`, by default `tracking.strict`, is true.
        """
        if self.is_open:
            return None
        done: Future[Result] = Future()

        def run() -> None:
            try:
                if self._store is None:
                    store = open_store(self._settings.experiment)
                    self._store = replace(store, client=cast("MlflowClient", _Guarded(self, store.client)))
                done.set_result(work(self._store))
            except BaseException as error:  # the calling thread raises it
                done.set_exception(error)

        start = monotonic()
        try:
            with quiet():
                Thread(target=run, daemon=True).start()
                return done.result(max(self._seconds_left, 0))
        except Exception as error:
            self.is_open = True
            late = f"no answer within tracking.time_budget_seconds: {self._settings.time_budget_seconds:g}"
            why = reason(error) if done.done() else late
            if not isinstance(error, PipelineError) and not is_store_error(error):
                raise
            with suppress(OSError):
                (root() / paths.SYNCED).unlink()  # so that the next `sync --if-changed` looks what is missing
            strict = self._settings.strict if strict is None else strict
            advice = "fix that, or let stages continue without: tracking.strict: false" if strict else self._otherwise
            message = f"MLflow did not take the run: {why}: {advice}"
            if strict:
                raise PipelineError(message) from error
            console.warn(message)
            return None
        finally:
            self._seconds_left -= monotonic() - start


class _Guarded:
    """A client that makes no call when the breaker is open: an abandoned thread writes nothing more."""

    def __init__(self, breaker: Breaker, client: MlflowClient) -> None:
        self._breaker, self._client = breaker, client

    def __getattr__(self, name: str) -> Any:
        if self._breaker.is_open:
            raise TimeoutError("the time is spent")
        return getattr(self._client, name)
