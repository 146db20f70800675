"""The tags that tie a run to its commit and its DVC experiment. What git does not know or cannot report has no tag."""

import os

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.history import git
from mnist_pipeline.history.revisions import Revision

WRITTEN_BY_DVC = ("dvc.lock", "data", "models", "reports")
"""DVC changes these while it runs the pipeline; that does not make the code another."""


def of_work_tree() -> dict[str, str]:
    """`git.dirty` is whether the work tree differs from the commit."""
    commit = dirty = None
    try:
        commit = git.find_commit("HEAD")
        dirty = bool(git.changed_files(WRITTEN_BY_DVC)) if commit else None
    except git.NoRepositoryError:
        pass
    except PipelineError as error:
        console.warn(f"the run's git tags are incomplete: {error}")
    return _tags(commit, dirty, os.environ.get("DVC_EXP_NAME"), os.environ.get("DVC_EXP_BASELINE_REV"))


def of(revision: Revision, md5: str) -> dict[str, str]:
    """The same tags for a result of a recorded state: those of the oldest commit that records its MD5, if one does.

    A DVC experiment is a change of its baseline, as it was when it ran. In a shallow clone, what its oldest commit
    records may be older, so its commit is unknown.
    """
    try:
        first = git.first_commit_with(md5, paths.LOCK)
        if first in git.cut_off_commits():
            return {}
    except git.NoRepositoryError:
        return of_work_tree()
    if first:
        return _tags(first, False)
    if revision.commit is None:
        return of_work_tree()
    if revision.baseline is None:
        return _tags(revision.commit, False)
    changed = git.changed_files(WRITTEN_BY_DVC, between=(revision.baseline, revision.commit))
    return _tags(revision.baseline, bool(changed), revision.experiment, revision.baseline)


def _tags(
    commit: str | None, dirty: bool | None, experiment: str | None = None, baseline: str | None = None
) -> dict[str, str]:
    known = {
        "git.commit": commit,
        "mlflow.source.git.commit": commit,
        "git.dirty": None if dirty is None else str(dirty).lower(),
        "dvc.exp_name": experiment,
        "dvc.baseline_rev": baseline,
    }
    return {tag: value for tag, value in known.items() if value}
