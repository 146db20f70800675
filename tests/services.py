"""The servers of a team on this machine: PostgreSQL, an S3 store, MLflow and SSH, all real and on 127.0.0.1 alone."""

import getpass
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pages import commands
from servers import accepts, free_port, running

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
BUCKET = "mnist-pipeline"
PAGE = ROOT / "docs/team-servers.md"
SSHD_CONFIG = """\
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
Subsystem sftp internal-sftp
"""


def secret() -> str:
    return secrets.token_urlsafe(12)


def documented(beginning: str, places: Mapping[str, str]) -> list[str]:
    """The one command of the page that begins so, with the ports and folders of a test in the place of the page's."""
    (command,) = [command for command in commands(PAGE) if command.startswith(beginning)]
    for there, here in places.items():
        assert there in command
        command = command.replace(there, here)
    program, *arguments = command.split()
    return [str(Path(sys.executable).parent / program), *arguments]


@dataclass(frozen=True)
class Database:
    """PostgreSQL with the role and the database `mlflow`."""

    port: int
    password: str


@dataclass(frozen=True)
class ObjectStore:
    """An S3 server; its buckets are the folders of `folder`."""

    port: int
    folder: Path
    secret: str
    key: str = "team"

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def credentials(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.address,
        }


@dataclass(frozen=True)
class Tracking:
    """An MLflow server, as the page starts it; it can be started more than once."""

    folder: Path
    database: Database
    artifacts: ObjectStore
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=secret)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / f"mlflow-{self.port}.log"

    def command(self) -> list[str]:
        return documented("mlflow server", {"=5000": f"={self.port}", ":5432": f":{self.database.port}"})

    def environment(self) -> dict[str, str]:
        settings = (ROOT / "deploy/basic_auth.ini").read_text()
        ours = self.folder / f"basic_auth-{self.port}.ini"
        ours.write_text(settings.replace("@database:5432", f"@{HOST}:{self.database.port}"))
        return {
            **os.environ,
            **self.artifacts.credentials(),
            "HOME": str(self.folder),
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.password,
            "MLFLOW_AUTH_CONFIG_PATH": str(ours),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secret(),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PGPASSWORD": self.database.password,
        }

    def client(self) -> dict[str, str]:
        """What the environment of a member of the team says."""
        return {
            "MLFLOW_TRACKING_URI": self.address,
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": self.password,
        }

    def started(self) -> AbstractContextManager[int]:
        """Gives the number of the server's session."""
        health = f"{self.address}/health"
        return running(self.command(), health, folder=self.folder, environment=self.environment(), log=self.log)


@dataclass(frozen=True)
class SecureShell:
    """An SSH server that lets the current user in with a key."""

    port: int
    key: Path
    folder: Path

    @property
    def address(self) -> str:
        return f"ssh://{getpass.getuser()}@{HOST}:{self.port}{self.folder}/storage"


@contextmanager
def database() -> Iterator[Database]:
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    port, password = free_port(), secret()
    environment = os.environ | {"PGPASSWORD": password, "LC_ALL": "C.UTF-8"}
    reach = [f"--host={HOST}", f"--port={port}", "--username=mlflow"]
    with tempfile.TemporaryDirectory(prefix="postgresql-") as temporary:
        folder = Path(temporary)
        (folder / "password").write_text(password)
        who = _not_root(folder, folder / "password")
        initialise = [str(binaries / "initdb"), "--auth=scram-sha-256", "--username=mlflow", "--no-sync"]
        initialise += [f"--pwfile={folder}/password", f"--pgdata={folder}/data"]
        _call([*who, *initialise], folder, environment)
        command = [*who, str(binaries / "postgres"), "-D", f"{folder}/data", "-h", HOST, "-p", str(port)]
        command += ["-k", "", "-c", "fsync=off"]
        ready = [str(binaries / "pg_isready"), "--quiet", *reach]
        with running(
            command,
            lambda: subprocess.run(ready, check=False).returncode == 0,
            folder=folder,
            environment=environment,
            log=folder / "log",
        ):
            _call([str(binaries / "createdb"), *reach, "mlflow"], folder, environment)
            yield Database(port, password)


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    store = ObjectStore(free_port(), folder / "buckets", secret())
    (store.folder / BUCKET).mkdir(parents=True)
    command = documented("rclone serve", {":9000": f":{store.port}", "/srv/objects": str(store.folder)})
    environment = os.environ | {"RCLONE_AUTH_KEY": f'"{store.key},{store.secret}"', "RCLONE_CONFIG": os.devnull}
    with running(
        command, lambda: accepts(store.port), folder=folder, environment=environment, log=folder / "rclone.log"
    ):
        yield store


@contextmanager
def secure_shell() -> Iterator[SecureShell]:
    with tempfile.TemporaryDirectory(prefix="sshd-") as temporary:
        folder = Path(temporary)
        shell = SecureShell(free_port(), folder / "key", folder)
        for name in ("key", "host_key"):
            _call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name], folder, os.environ)
        shutil.copy(folder / "key.pub", folder / "authorized_keys")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where root's sshd puts its unprivileged half
        settings = SSHD_CONFIG.format(address=f"{HOST}:{shell.port}", folder=folder)
        (folder / "sshd_config").write_text(settings)
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", f"{folder}/sshd_config"]
        with running(command, lambda: accepts(shell.port), folder=folder, environment=os.environ, log=folder / "log"):
            yield shell


def _not_root(*places: Path) -> list[str]:
    """The beginning of a command that PostgreSQL does not refuse to run for root; the places become that user's."""
    if os.geteuid() != 0:
        return []
    for place in places:
        shutil.chown(place, "postgres", "postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


def _call(command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
