"""A client of MLflow that waits so long and no longer: a slow server must not hold up a stage."""

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, cast

from mlflow import MlflowClient


def patient(client: MlflowClient, seconds: float) -> MlflowClient:
    """The same client, whose next call raises a `TimeoutError` when its calls have taken `seconds` in all."""
    return cast("MlflowClient", _Patient(client, seconds))


class _Patient:
    def __init__(self, client: MlflowClient, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._spent = 0.0

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        return partial(self._call, value) if callable(value) else value

    def _call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if self._spent > self._seconds:
            raise TimeoutError(
                f"this stage waited {self._spent:.0f} s for it, more than tracking.patience_seconds: {self._seconds:g}"
            )
        start = monotonic()
        try:
            return method(*arguments, **options)
        finally:
            self._spent += monotonic() - start
