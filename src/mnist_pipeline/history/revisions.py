"""The states of the pipeline that DVC has recorded: the work tree, commits and DVC experiments."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_file
from mnist_pipeline.history import git
from mnist_pipeline.history.lock import Lock, parse_lock


@dataclass(frozen=True)
class Revision:
    """One recorded state; the work tree has no commit, and only a DVC experiment has a name and a baseline."""

    commit: str | None
    lock: Lock
    experiment: str | None = None
    baseline: str | None = None

    @property
    def outputs(self) -> dict[str, str]:
        """The MD5 of every output by its path."""
        return {path: md5 for stage in self.lock.values() for path, md5 in stage.outputs.items()}

    def __str__(self) -> str:
        if self.experiment:
            return f"experiment {self.experiment}"
        return self.commit[:7] if self.commit else "the work tree"


def work_tree() -> Revision:
    """What DVC recorded last; a `PipelineError` where nothing has run yet."""
    text = read_file(paths.LOCK, "run make repro (or dvc repro) first").decode(errors="replace")
    return Revision(None, parse_lock(text, str(paths.LOCK)))


def at(revision: str) -> Revision:
    """What DVC had recorded in the commit that a branch, a tag or a name means; a `PipelineError` where nothing."""
    commit = git.find_commit(revision)
    if commit is None:
        raise PipelineError(f"{revision}: git knows no such commit: git log and git tag list those there are")
    (text,) = git.files_at([commit], paths.LOCK)
    if text is None:
        raise PipelineError(f"{revision}: this commit has no {paths.LOCK}: nothing had run in it")
    return Revision(commit, parse_lock(text, f"{paths.LOCK} of {commit[:7]}"))


def all_commits() -> list[Revision]:
    """What DVC had recorded in each commit of all branches and tags that changed it, newest first."""
    return read_locks({commit: Revision(commit, {}) for commit in git.commits_of(paths.LOCK)})


def read_locks(wanted: Mapping[str, Revision]) -> list[Revision]:
    """Revisions by their commit, with its lock file if it has one; a damaged one is named and left out."""
    found = []
    for (commit, revision), text in zip(wanted.items(), git.files_at([*wanted], paths.LOCK), strict=True):
        try:
            if text:
                found.append(replace(revision, lock=parse_lock(text, f"{paths.LOCK} of {commit[:7]}")))
        except PipelineError as error:  # one commit of many, which nobody can fix any more
            console.info(f"left out: {error}")
    return found
