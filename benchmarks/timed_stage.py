"""Run `mnist-pipeline` with the arguments given, and add a line to the file in TIMED_STAGES: where its seconds went.

`startup` is the interpreter and all imports but MLflow's, `tracking` is MLflow: what only it imports, and the calls
that write runs; `work` is the rest. With `--without-tracking` in front, a training has no run and no MLflow.
"""

import builtins
import contextlib
import importlib
import json
import os
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

STAGES = ("download", "validate", "train", "evaluate", "compare", "export", "card")


class Clock:
    """Adds up the seconds of the outermost calls; those within another clock's calls count there alone."""

    inside = False
    seconds = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if Clock.inside:
                return function(*arguments, **named)
            Clock.inside, begun = True, time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - begun
                Clock.inside = False

        return call


def main() -> None:
    sys.path[0] = str(Path("src").resolve())  # as `python src/mnist_pipeline` does
    imports, tracking = Clock(), Clock()
    before = time.time() - psutil.Process().create_time()
    builtins.__import__ = imports.timed(builtins.__import__)
    importlib.import_module = imports.timed(importlib.import_module)
    from mnist_pipeline import cli

    if sys.argv[1] == "--without-tracking":
        del sys.argv[1]
        publish: Any = types.ModuleType("mnist_pipeline.tracking.publish")
        publish.live_run = lambda params, model: contextlib.nullcontext(types.SimpleNamespace(log_epoch=id))
        sys.modules[publish.__name__] = publish
    elif sys.argv[1] in STAGES:
        importlib.import_module(f"mnist_pipeline.stages.{sys.argv[1]}")
        tracking.timed(watch)(tracking)
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


def watch(clock: Clock) -> None:
    """Time every call of MLflow's; importing the module imports MLflow."""
    from mnist_pipeline.tracking.publish import Breaker

    setattr(Breaker, "call", clock.timed(Breaker.call))  # noqa: B010 -- mypy


if __name__ == "__main__":
    main()
