"""Two machines search together, in one PostgreSQL database."""

import subprocess
from pathlib import Path

from projects import Project
from services import Database
from tracked_content import runs_of

TRIALS = 6


def test_two_machines_share_the_trials_of_one_search(project: Project, database: Database, tmp_path: Path) -> None:
    (project.path / "sweeps/lenet.yaml").write_text("learning_rate: {low: 0.001, high: 0.03, log: true}\n")
    project.commit("What is searched")
    other = project.clone(tmp_path / "other")
    address = f"postgresql+psycopg://mlflow:{database.password}@127.0.0.1:{database.port}/mlflow"
    machines = [Project(machine.path, {**machine.extra, "SWEEP_STORAGE": address}) for machine in (project, other)]
    for machine in machines:
        machine.run("dvc", "repro", "download")
    command = ["mnist-pipeline", "sweep", "lenet", "--trials", str(TRIALS)]
    running = [
        subprocess.Popen(command, cwd=machine.path, env=machine.environment(), stderr=subprocess.PIPE, text=True)
        for machine in machines
    ]
    printed = [process.communicate(timeout=250)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], printed
    done = [len(runs_of(machine.path, "mnist-pipeline-sweeps")) - 1 for machine in machines]  # one is of the study
    assert min(done) >= 1
    assert TRIALS <= sum(done) <= TRIALS + 1  # each may have begun one when the other ended the last
    rates = [run.data.params["learning_rate"] for run in runs_of(project.path, "mnist-pipeline-sweeps")[:-1]]
    rates += [run.data.params["learning_rate"] for run in runs_of(other.path, "mnist-pipeline-sweeps")[:-1]]
    assert len(set(rates)) == len(rates)
    assert machines[0].run(*command).count(f"{sum(done)} of {TRIALS} trials are done") == 1
    assert database.password not in "".join(printed)
