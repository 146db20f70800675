"""The `mnist-pipeline` command. A subcommand imports what it needs when it runs, so that help answers at once.

Each is a function of the module that it names: `_run("stages.train", …)` calls `run` of `stages/train.py`.
"""

import importlib
import os
import sys
from typing import Annotated, Literal

import typer

from mnist_pipeline.errors import PipelineError, one_line

app = typer.Typer(
    help="MNIST to LeNet and MLP to ONNX. `dvc repro` runs the stages in order; each can be run by itself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Bump = Literal["major", "minor", "patch"]
Storage = Annotated[
    str | None,
    typer.Option(
        envvar="SWEEP_STORAGE",
        help="Where Optuna keeps the trials, such as postgresql+psycopg://host/name.",
        show_default="mlruns/sweeps.db",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[str, typer.Argument(help="A model that params.yaml has a section for, such as lenet.")]


def _add(module: str, help: str, of_model: bool = False) -> None:
    """Add a command that takes a model or nothing, and has the name of its module."""

    def of_one(model: Model) -> None:
        _run(module, model=model)

    def of_all() -> None:
        _run(module)

    package, _, name = module.partition(".")
    command = of_one if of_model else of_all
    command.__name__ = name
    app.command(help=help, rich_help_panel="Stages" if package == "stages" else "Results")(command)


_add("stages.download", "Bring the verified IDX files into data/raw.")
_add("stages.validate", "Check data/raw against the expectations of its suite.")
_add("stages.train", "Train one model.", of_model=True)
_add("stages.evaluate", "Measure one model on the test set.", of_model=True)
_add("stages.compare", "Compare the models on the same test images, and show what all of them miss.")
_add("stages.export", "Export one model to ONNX and check that it equals PyTorch.", of_model=True)
_add("stages.card", "Write the model card of one exported model.", of_model=True)


@app.command(rich_help_panel="Data")
def profile(
    exact_counts: Annotated[bool, typer.Option("--exact-counts", help="Expect exactly these class counts.")] = False,
) -> None:
    """Write thresholds that the present data/raw meets into its suite."""
    _run("commands.profile", exact_counts)


@app.command(rich_help_panel="Search")
def sweep(
    model: Model,
    trials: Annotated[int, typer.Option(min=1, help="How many trials the search has in all.")] = 40,
    workers: Annotated[int, typer.Option(min=1, help="Processes that train at once; they share the cores.")] = 1,
    storage: Storage = None,
    write: Annotated[bool, typer.Option("--write", help="Write the best parameters into params.yaml.")] = False,
    summary: Annotated[bool, typer.Option(help="Print the best trials at the end.")] = True,
) -> None:
    """Search for better parameters of one model by the validation accuracy; resumes where it stopped."""
    _run("commands.sweep", trials, workers, storage, write, summary, model=model)


_add("commands.results", "Print the results of the last run, and where to look next.")
_add("commands.plots", "Add the plots and the artifact of a new model to dvc.yaml.")


@app.command(rich_help_panel="Results")
def predict(
    images: Annotated[list[str], typer.Argument(help="PNG, JPEG, WebP, BMP, TIFF or GIF files, or folders of them.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="A model of params.yaml, an ONNX file, or models:/<name>@<alias>.",
            show_default="the first of params.yaml",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predict the class of each picture, of any size and colour."""
    from mnist_pipeline.commands import predict

    predict.run(images, model, as_json)


@app.command(rich_help_panel="Results")
def sync(
    rev: Annotated[list[str] | None, typer.Option(help="Also a commit, branch or tag; repeatable.")] = None,
    all_commits: Annotated[bool, typer.Option("--all-commits", help="Also all commits of all branches.")] = False,
    experiments: Annotated[bool, typer.Option("--experiments", help="Also DVC's experiments.")] = False,
    pull: Annotated[bool, typer.Option("--pull", help="Fetch files that are only in the DVC remote.")] = False,
    if_changed: Annotated[bool, typer.Option("--if-changed", help="End if dvc.lock is as at the last sync.")] = False,
) -> None:
    """Write the runs that MLflow lacks, from what DVC has recorded and keeps."""
    _run("commands.sync", rev or [], all_commits, experiments, pull, if_changed)


@app.command(rich_help_panel="Results")
def lineage(
    of: Annotated[str, typer.Argument(help="A file, a run id, models:/<name>@<alias>, a commit, or a tag.")],
    as_json: AsJson = False,
) -> None:
    """Show which commit, data and parameters made an artifact, and its runs in MLflow."""
    _run("commands.lineage", of, as_json)


@app.command(rich_help_panel="Results")
def promote(
    model: Model, bump: Annotated[Bump, typer.Option(help="The part of the version to raise.")] = "minor"
) -> None:
    """Make the model of this commit the champion, unless it is worse than the present one."""
    _run("commands.promote", bump, model=model)


@app.command(rich_help_panel="Results")
def rollback(model: Model) -> None:
    """Make the previous champion the champion again."""
    _run("commands.promote", model=model, function="roll_back")


_add("commands.doctor", "Show what this machine has, what works on it, and what to do about the rest.")


@app.command(rich_help_panel="Results")
def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="The port on 127.0.0.1.")] = 5000) -> None:
    """Serve the MLflow pages until Ctrl-C."""
    _run("tracking.server", port)


def _run(module: str, *arguments: object, model: str | None = None, function: str = "run") -> None:
    """Import a module and call its function with the parameters, the model if there is one, and the arguments."""
    from mnist_pipeline.params import load_params

    params = load_params()
    if model is not None:
        params.training(model)  # an unknown one is named here
        arguments = (model, *arguments)
    if module in ("stages.train", "stages.evaluate", "commands.sweep"):
        from mnist_pipeline import gpu  # here, so that no stage depends on it

        section = "evaluate" if module == "stages.evaluate" else "train"
        gpu.leave_out_unusable(f"{section}.device", getattr(params, section).device)
    getattr(importlib.import_module(f"mnist_pipeline.{module}"), function)(params, *arguments)


def set_environment() -> None:
    """Set what libraries read from the environment when they load; what the user has set stays."""
    # How long a thread of OpenMP waits busily for its next share. By default that is so long that two trainings at once
    # starve each other; without any, a small step spends more time in waking threads than in computing.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime 1.32 writes an identifier into the home folder
    direct = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "localhost").split(",")
    if direct != ["*"]:  # no server of this machine is behind a proxy
        os.environ["no_proxy"] = ",".join(dict.fromkeys([*direct, "localhost", "127.0.0.1"]))


def main() -> None:
    """Run the command; a user's mistake or a full disk ends in one message and exit code 1, Ctrl-C in 130."""
    set_environment()
    try:
        app()
    except PipelineError as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        from mnist_pipeline.files import explain_full_disk

        if explained := explain_full_disk(error):
            sys.exit(f"error: {type(error).__name__}: {one_line(error)}: {explained}")
        raise
