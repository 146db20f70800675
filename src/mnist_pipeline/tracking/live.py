"""Rows that are written while the work goes on, which goes on too where MLflow does not take them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from mnist_pipeline import console
from mnist_pipeline.params import Tracking
from mnist_pipeline.tracking import content, runs
from mnist_pipeline.tracking.alive import Mark, close_dead_runs
from mnist_pipeline.tracking.content import Part
from mnist_pipeline.tracking.store import Store, StoreError, open_store, told_in_one_line


@contextmanager
def never_costs_a_stage(settings: Tracking, otherwise: str) -> Iterator[None]:
    """Tells in one line what kept MLflow from taking a row, and what happens `otherwise`.

    Raises:
        StoreError: that happened, and `tracking.strict` is true.
    """
    advice = "mend that, or let stages go on without: tracking.strict: false" if settings.strict else otherwise
    try:
        with told_in_one_line("MLflow did not take the row", advice):
            yield
    except StoreError as error:
        if settings.strict:
            raise
        console.say(f"warning: {error}")


def opened(settings: Tracking) -> Store:
    return open_store(settings.experiment, settings.patience_seconds)


class LiveRow:
    """A row of something that trains.

    `begin` makes an empty run and says what is known of it already; `otherwise` tells what happens where MLflow fails.
    It takes nothing more once MLflow has failed it or taken too long: a row with gaps would look whole.
    """

    def __init__(self, settings: Tracking, begin: Callable[[Store], tuple[str, Part]], otherwise: str) -> None:
        self._tracking = settings
        self._otherwise = otherwise
        self._store: Store | None = None
        self._mark: Mark | None = None
        self.run_id = ""
        with never_costs_a_stage(settings, otherwise):
            store = opened(settings)
            close_dead_runs(store.client)
            self.run_id, known = begin(store)
            self._mark = Mark(store.client, self.run_id)
            runs.add(store.client, self.run_id, known)
            self._store = store

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Logs one row of `history.csv`."""
        with self.store_until_it_fails() as store:
            if store:
                runs.log_metrics(store.client, self.run_id, content.epoch_metrics(metrics), epoch)

    def end(self, status: str, tags: Mapping[str, str] | None = None) -> None:
        """Closes the row as it is."""
        with self.store_until_it_fails() as store:
            if store:
                runs.set_tags(store.client, self.run_id, tags or {})
                store.client.set_terminated(self.run_id, status)
        self.let_go()

    @contextmanager
    def store_until_it_fails(self) -> Iterator[Store | None]:
        store, self._store = self._store, None
        with never_costs_a_stage(self._tracking, self._otherwise):
            yield store
            self._store = store

    def let_go(self) -> None:
        mark, self._mark = self._mark, None
        with never_costs_a_stage(self._tracking, self._otherwise):
            if mark and self._store:
                mark.take_away()
            elif mark:
                mark.leave()
