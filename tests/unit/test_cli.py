"""What a person meets at the command line."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from requests.utils import get_environ_proxies

from mnist_pipeline import cli, gpu
from mnist_pipeline.commands import plots
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import load_params
from projects import Project

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "mlflow", "great_expectations", "pandas", "numpy", "matplotlib", "pydantic", "dvc", "optuna", "onnx"}


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    """An answer at once is a matter of what is imported; a test must not assert a time."""
    program = (
        "import sys; sys.argv = ['mnist-pipeline', '--help']\n"
        "from mnist_pipeline.cli import main\n"
        "try:\n    main()\nfinally:\n    print('modules', *sys.modules)"
    )
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert not HEAVY & set(printed.split("modules ")[-1].split())
    for command in cli.app.registered_commands:
        assert command.callback is not None
        assert command.callback.__name__ in printed


@pytest.mark.parametrize("arguments", [("train", "mlp"), ("download",), ("results",), ("sync",), ("predict", "7.png")])
def test_outside_a_project_one_line_names_where_to_run(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (line,) = Project(tmp_path).cli(*arguments, code=1).splitlines()
    assert line.startswith("error: params.yaml: ")
    assert "root of the repository" in line


@pytest.mark.parametrize(("command", "key"), [("train", "train"), ("evaluate", "evaluate"), ("sweep", "train")])
def test_what_computes_looks_first_whether_the_gpu_can_be_used(
    command: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: str) -> None:
        raise PipelineError(" ".join(arguments))

    monkeypatch.setattr(gpu, "leave_out_unusable", stop)
    assert f"error: {key}.device auto\n" in Project(ROOT).cli(command, "mlp", code=1)


@pytest.mark.parametrize("command", ["train", "evaluate", "export", "card", "sweep"])
def test_an_unknown_model_is_named(command: str) -> None:
    assert "nothing: no such model" in Project(ROOT).cli(command, "nothing", code=1)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert f"error: port {port}: " in Project(ROOT).cli("ui", "--port", str(port), code=1)


def test_an_error_of_any_kind_on_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ValueError("the file\nis cut off")

    monkeypatch.setattr(plots, "run", fail)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    (line,) = Project(ROOT).cli("plots", code=1).splitlines()
    assert "the file is cut off: no space left on the disk of /" in line
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    with pytest.raises(ValueError, match="cut off"):
        Project(ROOT).cli("plots")


def test_plots_of_every_form_are_copied_for_a_new_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = load_params(ROOT / "params.yaml").model_copy(update={"models": ["lenet", "mlp", "wide-lenet"]})
    monkeypatch.chdir(tmp_path)
    line = "reports/train/{}/history.csv: {{x: epoch, y: train_loss}}"
    others = f"plots:\n  - reports/all.csv: {{x: a, y: b}}\n  - reports/bare.csv:\n  - {line.format('lenet')}\n"
    Path("dvc.yaml").write_text((ROOT / "dvc.yaml").read_text().replace("plots:\n", others, 1))
    plots.run(params)
    written = Path("dvc.yaml").read_text()
    assert written.count("wide-lenet") == 11
    assert f"  - {line.format('wide-lenet')}\n" in written
    assert "    labels: [onnx, wide-lenet]\n" in written
    plots.run(params)  # nothing is to be added
    assert Path("dvc.yaml").read_text() == written


@pytest.mark.parametrize("own", [{}, {"NO_PROXY": "a.example"}, {"no_proxy": "*"}])
def test_a_server_of_this_machine_is_reached_past_a_proxy(monkeypatch: pytest.MonkeyPatch, own: dict[str, str]) -> None:
    def passes(host: str) -> bool:
        return bool(get_environ_proxies(f"http://{host}:5000"))

    monkeypatch.setattr(os, "environ", {"http_proxy": "http://127.0.0.1:9", **own})
    before = {host: passes(host) for host in ("a.example", "b.example")}
    cli.set_environment()
    cli.set_environment()  # as a stage does that a command starts
    assert {host: passes(host) for host in before} == before
    assert not passes("127.0.0.1")
    assert not passes("localhost")


def test_what_libraries_report_is_off_unless_the_user_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    cli.set_environment()
    assert (os.environ["ORT_DISABLE_TELEMETRY"], os.environ["MLFLOW_DISABLE_TELEMETRY"]) == ("1", "false")
