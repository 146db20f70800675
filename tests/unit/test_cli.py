"""What a person meets at the command line."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).parent / "mnist-pipeline")
HEAVY = {"torch", "mlflow", "great_expectations", "pandas", "numpy", "matplotlib", "pydantic"}


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_help_lists_every_stage(tmp_path: Path) -> None:
    done = run("--help", folder=tmp_path)
    assert done.returncode == 0
    for command in ("download", "validate", "train", "evaluate", "compare", "export", "results", "ui"):
        assert command in done.stdout


def test_help_imports_nothing_heavy() -> None:
    """An answer at once is a matter of what is imported; a test must not assert a time."""
    program = (
        "import sys; sys.argv = ['mnist-pipeline', '--help']\n"
        "from mnist_pipeline.cli import main\n"
        "try:\n    main()\nfinally:\n    print('modules', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    modules = done.stdout.split("modules ")[-1].split()
    assert "typer" in modules
    assert not HEAVY & set(modules)


@pytest.mark.parametrize("arguments", [("train", "lenet"), ("download",), ("results",)])
def test_outside_a_project_one_line_says_where_to_run(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: params.yaml: No such file or directory: run this in the root of the repository"
    ]


def test_an_unknown_model_is_named_before_anything_heavy_loads() -> None:
    done = run("train", "resnet", folder=Path(__file__).parents[2])
    assert done.returncode == 1
    assert "resnet: no such model in params.yaml; expected one of lenet, mlp" in done.stderr


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        done = run("ui", "--port", str(port), folder=Path(__file__).parents[2])
    assert done.returncode == 1
    assert f"error: port {port}: Address already in use: try another: make ui PORT={port + 1}" in done.stderr
