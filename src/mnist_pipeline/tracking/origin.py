"""The tags that tie a row to the commit and the DVC experiment that it came from. What is not known has no tag."""

import os

from mnist_pipeline import paths
from mnist_pipeline.history import git
from mnist_pipeline.history.revisions import Revision

WRITTEN_BY_DVC = tuple(f":(exclude){path}" for path in ("dvc.lock", "data", "models", "reports"))
"""DVC changes these while it runs the pipeline; that does not make the code another."""


def of_work_tree() -> dict[str, str]:
    """`git.dirty` says whether the work tree differs from the commit."""
    tags = {}
    commit = git.ask("rev-parse", "--verify", "HEAD")
    if commit:
        tags = _commit(commit, bool(git.ask("status", "--porcelain", "--", ".", *WRITTEN_BY_DVC)))
    return tags | _experiment(os.environ.get("DVC_EXP_NAME"), os.environ.get("DVC_EXP_BASELINE_REV"))


def of(revision: Revision, md5: str) -> dict[str, str]:
    """The same tags for a result of a recorded state: those of the oldest commit that records its MD5, if one does.

    A DVC experiment is a change of its baseline, as it was when it ran.
    """
    first = git.first_commit_with(md5, str(paths.LOCK))
    if first:
        return _commit(first, False)
    if revision.commit is None:
        return of_work_tree()
    if revision.baseline is None:
        return _commit(revision.commit, False)
    changed = git.ask("diff", "--name-only", revision.baseline, revision.commit, "--", ".", *WRITTEN_BY_DVC)
    return _commit(revision.baseline, bool(changed)) | _experiment(revision.experiment, revision.baseline)


def _commit(commit: str, dirty: bool) -> dict[str, str]:
    return {"git.commit": commit, "mlflow.source.git.commit": commit, "git.dirty": str(dirty).lower()}


def _experiment(name: str | None, baseline: str | None) -> dict[str, str]:
    tags = {"dvc.exp_name": name, "dvc.baseline_rev": baseline}
    return {tag: value for tag, value in tags.items() if value}
