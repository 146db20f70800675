"""The servers of a team on this machine: PostgreSQL, an S3 store, MLflow and SSH, all real and on 127.0.0.1 alone."""

import getpass
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pages import commands
from servers import accepts, free_port, running

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
BUCKET = "mnist-pipeline"
SSHD_OPTIONS = ("PasswordAuthentication=no", "KbdInteractiveAuthentication=no", "UsePAM=no", "StrictModes=no")


def secret() -> str:
    return secrets.token_urlsafe(12)


def documented(beginning: str, **places: str) -> list[str]:
    """The one command of the page that begins so, with the ports and folders of a test in the place of the page's."""
    (command,) = [line for line in commands(ROOT / "docs/how-to/team-servers.md") if line.startswith(beginning)]
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

    def credentials(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "team",
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{HOST}:{self.port}",
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
        return documented("mlflow server", **{"=5000": f"={self.port}", ":5432": f":{self.database.port}"})

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
        """What the environment of a member of the team holds."""
        account = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": self.password}
        return {"MLFLOW_TRACKING_URI": self.address, **account}

    def started(self) -> AbstractContextManager[int]:
        """Gives the number of the server's session."""
        health = f"{self.address}/health"
        return running(self.command(), health, folder=self.folder, environment=self.environment(), log=self.log)


@dataclass(frozen=True)
class SecureShell:
    """An SSH server that lets the current user in with a key."""

    address: str
    key: Path
    folder: Path


@contextmanager
def database() -> Iterator[Database]:
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = Database(free_port(), secret())
    environment = os.environ | {"PGPASSWORD": found.password, "LC_ALL": "C.UTF-8"}
    reach = [f"--host={HOST}", f"--port={found.port}", "--username=mlflow"]
    with tempfile.TemporaryDirectory(prefix="postgresql-") as temporary:
        folder, user = Path(temporary), list[str]()
        (folder / "password").write_text(found.password)
        if os.geteuid() == 0:  # for whom PostgreSQL does not run
            user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            for place in (folder, folder / "password"):
                shutil.chown(place, "postgres", "postgres")
        initialise = [*user, str(binaries / "initdb"), "--auth=scram-sha-256", "--username=mlflow", "--no-sync"]
        initialise += [f"--pwfile={folder}/password", f"--pgdata={folder}/data"]
        subprocess.run(initialise, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        command = [*user, str(binaries / "postgres"), "-D", f"{folder}/data", "-h", HOST, "-p", str(found.port)]
        command += ["-k", "", "-c", "fsync=off"]
        ready = [str(binaries / "pg_isready"), "--quiet", *reach]

        def is_ready() -> bool:
            return subprocess.run(ready, check=False).returncode == 0

        with running(command, is_ready, folder=folder, environment=environment, log=folder / "log"):
            subprocess.run([str(binaries / "createdb"), *reach, "mlflow"], cwd=folder, env=environment, check=True)
            yield found


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    store = ObjectStore(free_port(), folder / "buckets", secret())
    (store.folder / BUCKET).mkdir(parents=True)
    command = documented("rclone serve", **{":9000": f":{store.port}", "/srv/objects": str(store.folder)})
    environment = os.environ | {"RCLONE_AUTH_KEY": f'"team,{store.secret}"', "RCLONE_CONFIG": os.devnull}
    log = folder / "rclone.log"
    with running(command, lambda: accepts(store.port), folder=folder, environment=environment, log=log):
        yield store


@contextmanager
def secure_shell() -> Iterator[SecureShell]:
    with tempfile.TemporaryDirectory(prefix="sshd-") as temporary:
        folder, port = Path(temporary), free_port()
        for name in ("key", "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name], cwd=folder, check=True)
        shutil.copy(folder / "key.pub", folder / "authorized_keys")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where root's sshd puts its unprivileged half
        options = [f"ListenAddress={HOST}:{port}", f"HostKey={folder}/host_key", "PidFile=none", *SSHD_OPTIONS]
        options += [f"AuthorizedKeysFile={folder}/authorized_keys", "Subsystem=sftp internal-sftp"]
        command = [
            "/usr/sbin/sshd",
            "-D",
            "-e",
            "-f",
            "/dev/null",
            *(word for name in options for word in ("-o", name)),
        ]
        with running(command, lambda: accepts(port), folder=folder, environment=os.environ, log=folder / "log"):
            address = f"ssh://{getpass.getuser()}@{HOST}:{port}{folder}/storage"
            yield SecureShell(address, folder / "key", folder)
