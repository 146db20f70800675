"""Runs `mnist-pipeline` with the arguments given, and adds a line to the file in TIMED_STAGES: where its seconds went.

`startup` is the interpreter and all imports but MLflow's, `tracking` is MLflow: what only it imports, and the calls
that write rows; `work` is the rest. With `--without-tracking` in front, a training has no row and no MLflow.
"""

import builtins
import contextlib
import functools
import importlib
import inspect
import json
import os
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import psutil

STAGES = ("download", "validate", "train", "evaluate", "compare", "export", "card")


class Clock:
    """Adds up the seconds of the outermost calls; those within another clock's calls count there alone."""

    inside = False

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            if Clock.inside:
                return function(*arguments, **named)
            Clock.inside = True
            begun = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - begun
                Clock.inside = False

        return call


def main() -> None:
    imports, tracking = Clock(), Clock()
    before = time.time() - psutil.Process().create_time()
    builtins.__import__ = imports.timed(builtins.__import__)
    importlib.import_module = imports.timed(importlib.import_module)
    from mnist_pipeline import cli

    if sys.argv[1] == "--without-tracking":
        del sys.argv[1]
        leave_out_tracking()
    elif sys.argv[1] in STAGES:
        importlib.import_module(f"mnist_pipeline.stages.{sys.argv[1]}")
        tracking.timed(lambda: watch(tracking))()
    code: Any = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code
    whole = time.time() - psutil.Process().create_time()
    startup = before + imports.seconds
    spent = {"startup": startup, "tracking": tracking.seconds, "work": whole - startup - tracking.seconds}
    with open(os.environ["TIMED_STAGES"], "a") as file:  # noqa: PTH123 -- pathlib would count as an import
        file.write(json.dumps({"stage": " ".join(sys.argv[1:]), "seconds": whole, **spent}) + "\n")
    sys.exit(code)


def leave_out_tracking() -> None:
    class Nothing:
        def log_epoch(self, epoch: int, metrics: object) -> None:
            pass

        def finish(self) -> None:
            pass

    room: Any = types.ModuleType("mnist_pipeline.tracking.publish")
    room.training_run = lambda params, model: contextlib.nullcontext(Nothing())
    sys.modules[room.__name__] = room


def watch(clock: Clock) -> None:
    """Times the doors of the tracking room; importing it imports MLflow."""
    from mnist_pipeline.tracking import publish

    for name, function in inspect.getmembers(publish, inspect.isfunction):
        if name.startswith("publish_"):
            setattr(publish, name, clock.timed(function))
    for name in ("__init__", "log_epoch", "finish"):
        setattr(publish.TrainingRun, name, clock.timed(getattr(publish.TrainingRun, name)))


if __name__ == "__main__":
    main()
