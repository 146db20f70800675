"""Makes the model of this commit the champion, where it may be, or goes back to the one before."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from mnist_pipeline import console, paths
from mnist_pipeline.data.catalog import label_names
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.evaluation.comparison import Comparison, compare
from mnist_pipeline.files import file_digest, read_json
from mnist_pipeline.history import git, revisions
from mnist_pipeline.history.cache import Cache
from mnist_pipeline.params import Params, Promote
from mnist_pipeline.serving.session import open_session, predict
from mnist_pipeline.tracking.registry import CHAMPION, PREVIOUS, RegisteredVersion, Registry

PARTS = ("major", "minor", "patch")


@dataclass(frozen=True)
class Before:
    """What a candidate is compared with: the champion or, where MLflow has none, what git's newest tag names."""

    name: str
    md5: str
    network: Path


def run(params: Params, model: str, bump: str) -> None:
    """Registers the ONNX file of `model`, makes it champion, and tags the commit `<model>@v<version>`.

    Raises:
        PipelineError: it may not be champion, and why; nothing has changed then.
    """
    _demand_model(params, model)
    with _one_at_a_time(), TemporaryDirectory() as folder:
        _demand_committed()
        commit = git.commit_of("HEAD")
        _demand_good_reports(params, model)
        _demand_up_to_date(model)
        registry = Registry(params.tracking.experiment)
        md5 = file_digest(paths.onnx(model), "md5")
        champion = registry.find_alias(model, CHAMPION)
        if champion and champion.md5 == md5:
            console.say(f"promote: version {champion.version} of {model} is these bytes, and champion already")
            return
        candidate = registry.find_model(md5)
        before = _fetch_champion(registry, champion, Path(folder)) if champion else _newest_tagged(model, Path(folder))
        if before and before.md5 != md5:
            comparison = _compare(params, model, before)
            console.say(f"promote: {_told(comparison, before)}")
            _demand_no_worse(comparison, before, params.tracking.promote)
        tag, is_new = (before.name, False) if before and before.md5 == md5 else (_next_tag(model, bump), True)
        with _tagged(tag, commit, f"{model}, champion: {paths.onnx(model)} {md5}", is_new):
            card = paths.model_card(model).read_text(encoding="utf-8")
            version = registry.register(model, candidate, {"git.commit": commit, "git.tag": tag}, card)
            if registry.find_alias(model, CHAMPION) != champion:
                raise PipelineError(f"{model}: another clone has made a champion meanwhile: promote again")
            registry.set_champion(version, champion)
    console.say(f"promote: {model} version {version.version} is champion; git push origin {tag} shares its tag")


@contextmanager
def _tagged(tag: str, commit: str, message: str, is_new: bool) -> Iterator[None]:
    """Tags the commit, unless the tag is there, and takes the tag back where the block fails."""
    if is_new:
        git.command("tag", "--annotate", tag, "--message", message, commit)
    try:
        yield
    except BaseException:
        if is_new:
            git.command("tag", "--delete", tag)
        raise


def roll_back(params: Params, model: str) -> None:
    """Makes the previous champion champion again, and the present one the previous.

    Raises:
        PipelineError: there is none.
    """
    _demand_model(params, model)
    with _one_at_a_time():
        registry = Registry(params.tracking.experiment)
        champion, previous = registry.find_alias(model, CHAMPION), registry.find_alias(model, PREVIOUS)
        if champion is None or previous is None:
            raise PipelineError(f"{model}: MLflow's registry has no previous champion to go back to")
        registry.set_champion(previous, champion)
    console.say(f"rollback: {model} version {previous.version} is champion again, {champion.version} the previous one")


def _one_at_a_time() -> AbstractContextManager[object]:
    paths.PROMOTION_LOCK.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(paths.PROMOTION_LOCK)


def _demand_model(params: Params, model: str) -> None:
    if model not in params.models:
        raise PipelineError(f"{model}: no such model; models in {paths.PARAMS} names {', '.join(params.models)}")


def _demand_committed() -> None:
    changed = git.command("status", "--porcelain").splitlines()
    if changed:
        raise PipelineError(
            f"the work tree is dirty: {changed[0][3:]}{f' and {len(changed) - 1} more' if changed[1:] else ''}: "
            "commit, so that a commit names what the champion was made of"
        )


def _demand_good_reports(params: Params, model: str) -> None:
    gate, parity = paths.VALIDATION / "metrics.json", paths.report("export", model) / "metrics.json"
    if not gate.exists():
        raise PipelineError(f"{gate}: missing: the gate has not passed the data: run make repro and mend what it says")
    if not paths.onnx(model).exists() or not parity.exists():
        raise PipelineError(
            f"{paths.onnx(model)}: missing: export has not proved it equal to PyTorch: run make repro, or dvc pull"
        )
    if not paths.model_card(model).exists():
        raise PipelineError(f"{paths.model_card(model)}: missing: run make repro, or dvc pull")
    try:
        found = read_json(parity)
        difference = found["max_logit_difference"]
        equal = not found["differing_predictions"] and difference <= params.export.max_logit_difference
    except (ValueError, KeyError) as error:
        raise PipelineError(f"{parity}: not what export wrote: run dvc checkout") from error
    if not equal:
        raise PipelineError(f"{parity}: the ONNX file is not equal to PyTorch: run make repro")


def _demand_up_to_date(model: str) -> None:
    stale = Cache().stale([f"evaluate@{model}", f"export@{model}", f"card@{model}"])
    if stale:
        raise PipelineError(
            f"{', '.join(stale)}: not as {paths.LOCK} has it: run make repro and commit, or dvc checkout"
        )


def _fetch_champion(registry: Registry, champion: RegisteredVersion, folder: Path) -> Before:
    return Before(f"version {champion.version}", champion.md5, registry.fetch_network(champion, folder))


def _newest_tagged(model: str, folder: Path) -> Before | None:
    """What was promoted last by git's tags: MLflow's store may be new, but nothing worse may follow all the same."""
    numbers = _tagged_numbers(model)
    if not numbers:
        return None
    tag = _tag(model, max(numbers))
    network = str(paths.onnx(model))
    locked = revisions.at(tag).lock.get(f"export@{model}")
    if locked is None or network not in locked.outputs:
        raise PipelineError(f"{tag}: {paths.LOCK} of this tag records no {network}: delete the tag, or mend it")
    output = {network: locked.outputs[network]}
    cache = Cache()
    if cache.missing(output):
        cache.fetch(output)
    if cache.missing(output):
        raise PipelineError(f"{tag}: its {network} is not in DVC's cache, nor in the remote: push it where it was made")
    cache.place(output, folder)
    return Before(tag, output[network], folder / network)


def _compare(params: Params, model: str, before: Before) -> Comparison:
    split = load_split(paths.RAW, "test")
    names = label_names(params.data.dataset, int(split.labels.max()) + 1)
    candidate, champion = (_predictions(network, split.images) for network in (paths.onnx(model), before.network))
    return compare(split.labels, candidate, champion, names)


def _predictions(network: Path, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    return predict(open_session(network.read_bytes()), images)


def _told(found: Comparison, before: Before) -> str:
    return (
        f"accuracy {found.candidate_accuracy:.2%}, {before.name} {found.champion_accuracy:.2%}; of "
        f"{found.images:,} images {found.won} won and {found.lost} lost, exact McNemar p = {found.p_value:.3g}"
    )


def _demand_no_worse(found: Comparison, before: Before, limits: Promote) -> None:
    if found.lost > found.won and found.p_value < limits.significance:
        raise PipelineError(
            f"not promoted: worse than {before.name}, with p below {limits.significance:g} "
            "(tracking.promote.significance)"
        )
    if found.class_drop > limits.max_class_drop:
        raise PipelineError(
            f"not promoted: recall of class {found.worst_class} falls by {found.class_drop:.2%}, more than "
            f"{limits.max_class_drop:.2%} (tracking.promote.max_class_drop)"
        )


def _next_tag(model: str, bump: str) -> str:
    """`<model>@v1.0.0` at first, then the highest there is with one part raised."""
    numbers = _tagged_numbers(model)
    if not numbers:
        return _tag(model, (1, 0, 0))
    highest, raised = max(numbers), PARTS.index(bump)
    return _tag(model, (*highest[:raised], highest[raised] + 1, 0, 0)[:3])


def _tagged_numbers(model: str) -> list[tuple[int, ...]]:
    tags = git.command("tag", "--list", f"{model}@v*").split()
    found = [re.fullmatch(r".*@v(\d+)\.(\d+)\.(\d+)", tag) for tag in tags]
    return [tuple(int(part) for part in match.groups()) for match in found if match]


def _tag(model: str, numbers: tuple[int, ...]) -> str:
    return f"{model}@v{'.'.join(map(str, numbers))}"
