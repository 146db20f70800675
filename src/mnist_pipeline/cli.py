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


@app.command(rich_help_panel="Stages")
def download() -> None:
    """Bring the verified IDX files into data/raw."""
    _run("stages.download")


@app.command(rich_help_panel="Stages")
def validate() -> None:
    """Check data/raw against the expectations of its suite."""
    _run("stages.validate")


@app.command(rich_help_panel="Stages")
def train(model: Model) -> None:
    """Train one model."""
    _run("stages.train", model=model)


@app.command(rich_help_panel="Stages")
def evaluate(model: Model) -> None:
    """Measure one model on the test set."""
    _run("stages.evaluate", model=model)


@app.command(rich_help_panel="Stages")
def compare() -> None:
    """Compare the models on the same test images, and show what all of them miss."""
    _run("stages.compare")


@app.command(rich_help_panel="Stages")
def export(model: Model) -> None:
    """Export one model to ONNX and check that it equals PyTorch."""
    _run("stages.export", model=model)


@app.command(rich_help_panel="Stages")
def card(model: Model) -> None:
    """Write the model card of one exported model."""
    _run("stages.card", model=model)


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


@app.command(rich_help_panel="Results")
def results() -> None:
    """Print the results of the last run, and where to look next."""
    _run("commands.results")


@app.command(rich_help_panel="Results")
def plots() -> None:
    """Add the plots and the artifact of a new model to dvc.yaml."""
    _run("commands.plots")


@app.command(rich_help_panel="Results")
def predict(
    images: Annotated[list[str], typer.Argument(help="PNG or JPEG files, or folders of them.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="A model of params.yaml, an ONNX file, or models:/<name>@<alias>.",
            show_default="the first of params.yaml",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predict which digit is in each picture, of any size, dark on light or light on dark."""
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


@app.command(rich_help_panel="Results")
def doctor() -> None:
    """Show what this machine has, what works on it, and what to do about the rest."""
    _run("commands.doctor")


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
