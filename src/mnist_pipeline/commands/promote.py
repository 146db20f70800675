"""Makes the model of this commit the champion, where it may be, or goes back to the one before.

What is decided is written to git's tags first, and then to MLflow's registry. A promotion that was cut off is finished
by the same command: each step looks for what it would make.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline import console, paths
from mnist_pipeline.comparison.paired import compare
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.errors import PipelineError, explained
from mnist_pipeline.export.network import file_metadata
from mnist_pipeline.files import read_json
from mnist_pipeline.formats import file_digest
from mnist_pipeline.history import git
from mnist_pipeline.history.cache import Cache
from mnist_pipeline.history.tags import CHAMPION, ModelTags, assign_champion, next_version, read_tags, register_version
from mnist_pipeline.params import Params
from mnist_pipeline.serving.session import ONNXRUNTIME_ERRORS, logits, open_session
from mnist_pipeline.tracking.registry import PREVIOUS, RegisteredVersion, Registry, one_promotion_at_a_time


def run(params: Params, model: str, bump: str) -> None:
    """Tag this commit as a version and the champion of `model`, and register its ONNX file as both in MLflow.

    Raises:
        PipelineError: it may not be champion, and why; nothing has changed then. Or git or MLflow failed; then the
            steps that were done have been printed, and the same command does the rest.
    """
    params.training(model)
    with one_promotion_at_a_time():
        _check_result(params, model)
        md5, registry = file_digest(paths.onnx(model), "md5"), Registry(params.tracking.experiment)
        if not registry.has_network(md5):
            raise PipelineError("MLflow has no run of this ONNX file: run mnist-pipeline sync")
        tags = read_tags().get(model, ModelTags())
        registry.rebuild(model, tags)
        champion = registry.find_alias(model, CHAMPION)
        if champion is None and tags.champion:
            raise PipelineError(
                f"{tags.champion}: champion by git's tags, but neither DVC's cache nor its remote has its ONNX file: "
                f"dvc push it from a clone that has it, or make it again: git checkout {tags.champion}, dvc repro"
            )
        same = champion if champion and champion.md5 == md5 else None
        if champion and not same:
            _check_no_worse(params, model, registry, champion)
            if registry.find_alias(model, CHAMPION) != champion:
                raise PipelineError(f"{model}: another clone has made a champion meanwhile: promote again")

        commit = str(git.find_commit("HEAD"))
        if same:
            tag = same.tag
        elif tags.at(commit):
            tag = tags.at(commit)[-1]
        else:
            version = next_version([*tags.versions, *(found.tag for found in registry.versions(model))], bump)
            tag = register_version(model, version, commit, f"{paths.onnx(model)} {md5}")
            console.info(f"promote: {tag} is tagged")
            tags = read_tags()[model]
        if tag in tags.versions and tags.champion != tag:
            assign_champion(model, tag, tags)
            console.info(f"promote: {tag} is tagged as {CHAMPION}")
        if not same:
            registry.rebuild(model, ModelTags({tag: commit}))
        made = (found for found in registry.versions(model) if (found.tag, found.md5) == (tag, md5))
        registered = same or next(made, None)
        if registered is None:
            raise PipelineError(f"{tag}: MLflow's registry lacks it, for the reason above: fix that and promote again")
        registry.set_champion(registered, None if same else champion)
    already = " already" if same else "; git push origin --tags shares its tags"
    console.info(f"promote: {model} version {registered.version} is champion{already}")


def roll_back(params: Params, model: str) -> None:
    """Make the previous champion champion again, and the present one the previous; git's tags and MLflow record it."""
    params.training(model)
    with one_promotion_at_a_time():
        registry = Registry(params.tracking.experiment)
        tags = read_tags().get(model, ModelTags())
        moved = registry.rebuild(model, tags)
        champion, target = registry.find_alias(model, CHAMPION), registry.find_alias(model, PREVIOUS)
        if champion is None or target is None or champion.version == target.version:
            raise PipelineError(f"{model}: MLflow's registry has no previous champion to go back to")
        if moved and tags.champion in tags.champions[:-1]:  # a rollback that was cut off, or another clone's
            champion, target = target, champion
        elif target.tag not in tags.versions:
            console.warn(f"{target.tag or model}: no such tag here, so git records nothing of this: git fetch --tags")
        elif tags.champion != target.tag:
            assign_champion(model, target.tag, tags)
            console.info(f"rollback: {target.tag} is tagged as {CHAMPION}")
        registry.set_champion(target, champion)
    console.info(f"rollback: {model} version {target.version} is champion, {champion.version} the previous one")


def _check_result(params: Params, model: str) -> None:
    """That data and network passed their checks, and that a commit names what they were made of."""
    if changed := git.changed_files():
        more = f" and {len(changed) - 1} more" if changed[1:] else ""
        raise PipelineError(
            f"the work tree is dirty: {changed[0]}{more}: commit, so that a commit names what the champion was made of"
        )
    exported = paths.report("export", model)
    verdict = _first_existing(paths.VERDICT, paths.VALIDATION / "metrics.json")  # the second in earlier commits
    parity = _first_existing(exported / "details.json", exported / "metrics.json")
    for file in (verdict, parity, paths.onnx(model), paths.model_card(model)):
        if not file.exists():
            raise PipelineError(f"{file}: missing: run make repro, or dvc pull")
    if read_json(verdict).get("passed") is not True:
        raise PipelineError(f"{verdict}: the data did not pass validation: run make repro, and fix what it reports")
    found = read_json(parity)
    differing, difference = found.get("differing_predictions"), found.get("max_logit_difference")
    if not isinstance(differing, int) or not isinstance(difference, int | float):
        raise PipelineError(f"{parity}: not what export wrote: run dvc checkout")
    if differing or not difference <= params.export.max_logit_difference:
        raise PipelineError(f"{parity}: the ONNX file is not equal to PyTorch: run make repro")
    if stale := Cache().stale([f"evaluate@{model}", f"export@{model}", f"card@{model}"]):
        names = ", ".join(stale)
        raise PipelineError(f"{names}: not as {paths.LOCK} has it: run make repro and commit, or dvc checkout")


def _first_existing(*files: Path) -> Path:
    return next((file for file in files if file.exists()), files[0])


def _check_no_worse(params: Params, model: str, registry: Registry, champion: RegisteredVersion) -> None:
    split, limits, name = load_split(paths.RAW, "test"), params.tracking.promote, f"version {champion.version}"
    with TemporaryDirectory() as folder:
        former = _predictions(registry.fetch_network(champion, Path(folder)), split.images)
    labels = json.loads(file_metadata(paths.onnx(model)).get("label_names", "null")) or [
        str(n) for n in range(split.labels.max() + 1)
    ]
    found = compare(split.labels, _predictions(paths.onnx(model), split.images), former, labels)
    console.info(
        f"promote: accuracy {found.candidate_accuracy:.2%}, {name} {found.champion_accuracy:.2%}; of "
        f"{found.images:,} images {found.won} won and {found.lost} lost, exact McNemar p = {found.p_value:.3g}"
    )
    if found.lost > found.won and found.p_value < limits.significance:
        raise PipelineError(
            f"not promoted: worse than {name}, with p below {limits.significance:g} (tracking.promote.significance)"
        )
    if found.class_drop > limits.max_class_drop:
        raise PipelineError(
            f"not promoted: recall of class {found.worst_class} falls by {found.class_drop:.2%}, more than "
            f"{limits.max_class_drop:.2%} (tracking.promote.max_class_drop)"
        )


def _predictions(network: Path, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    with explained(f"{network}: does not run on the test images", *ONNXRUNTIME_ERRORS):
        return np.asarray(logits(open_session(network.read_bytes()), images).argmax(1))
