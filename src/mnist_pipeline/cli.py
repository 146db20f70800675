"""The `mnist-pipeline` command. A subcommand imports what it needs when it runs, so that help answers at once."""

import importlib
import os
import sys
from typing import Annotated, Literal

import typer

from mnist_pipeline.errors import PipelineError

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
Model = Annotated[str, typer.Argument(help="A model that params.yaml has a section for, such as lenet.")]


@app.command(rich_help_panel="Stages")
def download() -> None:
    """Bring the verified IDX files into data/raw."""
    _run_stage("download")


@app.command(rich_help_panel="Stages")
def validate() -> None:
    """Check data/raw against the expectations of its suite."""
    _run_stage("validate")


@app.command(rich_help_panel="Stages")
def train(model: Model) -> None:
    """Train one model."""
    _run_stage("train", model)


@app.command(rich_help_panel="Stages")
def evaluate(model: Model) -> None:
    """Measure one model on the test set."""
    _run_stage("evaluate", model)


@app.command(rich_help_panel="Stages")
def compare() -> None:
    """Compare the models on the same test images, and show what all of them miss."""
    _run_stage("compare")


@app.command(rich_help_panel="Stages")
def export(model: Model) -> None:
    """Export one model to ONNX and check that it equals PyTorch."""
    _run_stage("export", model)


@app.command(rich_help_panel="Stages")
def card(model: Model) -> None:
    """Write the model card of one exported model."""
    _run_stage("card", model)


@app.command(rich_help_panel="Data")
def profile(
    exact_counts: Annotated[
        bool, typer.Option("--exact-counts", help="Expect exactly as many images of each class.")
    ] = False,
) -> None:
    """Write thresholds that the present data/raw meets into its suite."""
    from mnist_pipeline.commands import profile
    from mnist_pipeline.params import load_params

    profile.run(load_params(), exact_counts)


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
    from mnist_pipeline.commands import sweep
    from mnist_pipeline.params import load_params

    params = load_params()
    params.training(model)
    sweep.run(params, model, trials, workers, storage, write, summary)


@app.command(rich_help_panel="Results")
def results() -> None:
    """Print the results of the last run, and where to look next."""
    from mnist_pipeline.commands import results
    from mnist_pipeline.params import load_params

    results.show(load_params())


@app.command(rich_help_panel="Results")
def plots() -> None:
    """Add the plots and the artifact of a new model to dvc.yaml."""
    from mnist_pipeline.commands import plots
    from mnist_pipeline.params import load_params

    plots.run(load_params())


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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
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
    if_changed: Annotated[
        bool, typer.Option("--if-changed", help="End at once where dvc.lock is as at the last sync.")
    ] = False,
) -> None:
    """Write the runs that MLflow lacks, from what DVC has recorded and keeps."""
    from mnist_pipeline.commands import sync
    from mnist_pipeline.params import load_params

    sync.run(load_params().tracking, rev or [], all_commits, experiments, pull, if_changed)


@app.command(rich_help_panel="Results")
def lineage(
    of: Annotated[str, typer.Argument(help="A file, a run id, models:/<name>@<alias>, a commit, or a tag.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which commit, data and parameters made an artifact, and its runs in MLflow."""
    from mnist_pipeline.commands import lineage
    from mnist_pipeline.params import load_params

    lineage.run(load_params(), of, as_json)


@app.command(rich_help_panel="Results")
def promote(
    model: Model,
    bump: Annotated[Bump, typer.Option(help="The part of the version to raise.")] = "minor",
) -> None:
    """Make the model of this commit the champion, unless it is worse than the present one."""
    from mnist_pipeline.commands import promote
    from mnist_pipeline.params import load_params

    promote.run(load_params(), model, bump)


@app.command(rich_help_panel="Results")
def rollback(model: Model) -> None:
    """Make the previous champion the champion again."""
    from mnist_pipeline.commands import promote
    from mnist_pipeline.params import load_params

    promote.roll_back(load_params(), model)


@app.command(rich_help_panel="Results")
def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="The port on 127.0.0.1.")] = 5000) -> None:
    """Serve the MLflow pages until Ctrl-C."""
    from mnist_pipeline.params import load_params
    from mnist_pipeline.tracking.server import serve

    serve(load_params().tracking.experiment, port)


def _run_stage(stage: str, *model: str) -> None:
    from mnist_pipeline.params import load_params

    params = load_params()
    for name in model:
        params.training(name)
    importlib.import_module(f"mnist_pipeline.stages.{stage}").run(params, *model)


def set_environment() -> None:
    """Set what libraries read from the environment when they load; what the user has set stays."""
    # How long a thread of OpenMP waits busily for its next share. By default that is so long that two trainings at once
    # starve each other; without any, a small step spends more time in waking threads than in computing.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime 1.32 writes an identifier into the home folder


def main() -> None:
    """Run the command; a user's mistake ends in one message and exit code 1, Ctrl-C in 130."""
    set_environment()
    try:
        app()
    except PipelineError as error:
        sys.exit(f"error: {error}")
