"""Makes the model of this commit the champion, where it may be, or goes back to the one before."""

import re
from contextlib import AbstractContextManager
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
from mnist_pipeline.history import git
from mnist_pipeline.history.cache import Cache
from mnist_pipeline.params import Params, Promote
from mnist_pipeline.serving.session import open_session, predict
from mnist_pipeline.tracking.registry import CHAMPION, PREVIOUS, Registry, Version

PARTS = ("major", "minor", "patch")


def run(params: Params, model: str, bump: str) -> None:
    """Registers the ONNX file of `model`, makes it champion, and tags the commit `<model>@v<version>`.

    Raises:
        PipelineError: it may not be champion, and why; nothing has changed then.
    """
    _demand_model(params, model)
    with _one_at_a_time():
        _demand_committed()
        _demand_good_reports(params, model)
        _demand_up_to_date(model)
        registry = Registry(params.tracking.experiment)
        md5 = file_digest(paths.onnx(model), "md5")
        champion = registry.find_alias(model, CHAMPION)
        if champion and champion.md5 == md5:
            console.say(f"promote: version {champion.version} of {model} is these bytes, and champion already")
            return
        candidate = registry.find_model(md5)
        if champion:
            comparison = _compare(params, model, registry, champion)
            console.say(f"promote: {_told(comparison, champion)}")
            _demand_no_worse(comparison, champion, params.tracking.promote)
        tag = _next_tag(model, bump)
        git.command("tag", "--annotate", tag, "--message", f"{model}, champion: {paths.onnx(model)} {md5}")
        try:
            version = registry.register(model, candidate, {"git.commit": git.commit_of("HEAD"), "git.tag": tag})
            registry.set_champion(version, champion)
        except BaseException:
            git.command("tag", "--delete", tag)
            raise
    console.say(f"promote: {model} version {version.version} is champion; git push origin {tag} shares its tag")


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
    if not gate.exists() or not read_json(gate)["passed"]:
        raise PipelineError(f"{gate}: missing: the gate has not passed the data: run make repro and mend what it says")
    if not paths.onnx(model).exists() or not parity.exists():
        raise PipelineError(
            f"{paths.onnx(model)}: missing: export has not proved it equal to PyTorch: run make repro, or dvc pull"
        )
    found = read_json(parity)
    if found["differing_predictions"] or not found["max_logit_difference"] <= params.export.max_logit_difference:
        raise PipelineError(f"{parity}: the ONNX file is not equal to PyTorch: run make repro")


def _demand_up_to_date(model: str) -> None:
    stale = Cache().stale([f"evaluate@{model}", f"export@{model}"])
    if stale:
        raise PipelineError(
            f"{', '.join(stale)}: not as {paths.LOCK} has it: run make repro and commit, or dvc checkout"
        )


def _compare(params: Params, model: str, registry: Registry, champion: Version) -> Comparison:
    split = load_split(paths.RAW, "test")
    with TemporaryDirectory() as folder:
        before = _predictions(registry.fetch_network(champion, Path(folder)), split.images)
    names = label_names(params.data.dataset, int(split.labels.max()) + 1)
    return compare(split.labels, _predictions(paths.onnx(model), split.images), before, names)


def _predictions(network: Path, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    return predict(open_session(network.read_bytes()), images)


def _told(found: Comparison, champion: Version) -> str:
    return (
        f"accuracy {found.candidate_accuracy:.2%}, version {champion.version} {found.champion_accuracy:.2%}; of "
        f"{found.images:,} images {found.won} won and {found.lost} lost, exact McNemar p = {found.p_value:.3g}"
    )


def _demand_no_worse(found: Comparison, champion: Version, limits: Promote) -> None:
    if found.lost > found.won and found.p_value < limits.significance:
        raise PipelineError(
            f"not promoted: worse than version {champion.version}, with p below {limits.significance:g} "
            "(tracking.promote.significance)"
        )
    if found.class_drop > limits.max_class_drop:
        raise PipelineError(
            f"not promoted: recall of class {found.worst_class} falls by {found.class_drop:.2%}, more than "
            f"{limits.max_class_drop:.2%} (tracking.promote.max_class_drop)"
        )


def _next_tag(model: str, bump: str) -> str:
    """`<model>@v1.0.0` at first, then the highest there is with one part raised."""
    tags = git.command("tag", "--list", f"{model}@v*").split()
    found = [re.fullmatch(r".*@v(\d+)\.(\d+)\.(\d+)", tag) for tag in tags]
    numbers = [[int(part) for part in match.groups()] for match in found if match]
    if not numbers:
        return f"{model}@v1.0.0"
    highest, raised = max(numbers), PARTS.index(bump)
    return f"{model}@v" + ".".join(map(str, [*highest[:raised], highest[raised] + 1, 0, 0][:3]))
