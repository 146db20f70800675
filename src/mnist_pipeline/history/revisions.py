"""The states of the pipeline that DVC has recorded: the work tree, commits and DVC experiments."""

from dataclasses import dataclass

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.history import git
from mnist_pipeline.history.lock import Lock, parse_lock


@dataclass(frozen=True)
class Revision:
    """One recorded state; the work tree has no commit, and only a DVC experiment has a name and a baseline."""

    commit: str | None
    lock: Lock
    experiment: str | None = None
    baseline: str | None = None

    def __str__(self) -> str:
        if self.experiment:
            return f"experiment {self.experiment}"
        return self.commit[:7] if self.commit else "the work tree"


def work_tree() -> Revision:
    """What DVC recorded last.

    Raises:
        PipelineError: nothing has run yet, or the lock file is damaged.
    """
    try:
        text = paths.LOCK.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PipelineError(f"{paths.LOCK}: not UTF-8: restore it with git checkout {paths.LOCK}") from error
    except OSError as error:
        raise PipelineError(f"{paths.LOCK}: {error.strerror}: run make repro (or dvc repro) first") from error
    return Revision(None, parse_lock(text, str(paths.LOCK)))


def at(revision: str) -> Revision:
    """What DVC had recorded in the commit that a branch, a tag or a commit's name means.

    Raises:
        PipelineError: there is no such commit, or it records nothing.
    """
    commit = git.commit_of(revision)
    lock = _lock_of(commit)
    if not lock:
        raise PipelineError(f"{revision}: this commit has no {paths.LOCK}: nothing had run in it")
    return Revision(commit, lock)


def all_commits() -> list[Revision]:
    """What DVC had recorded in each commit of all branches and tags that changed it, newest first."""
    found = []
    for commit in git.commits_of(str(paths.LOCK)):
        try:
            lock = _lock_of(commit)
        except PipelineError as error:  # of one commit of many, which nobody can mend any more
            console.say(f"left out: {error}")
            continue
        if lock:
            found.append(Revision(commit, lock))
    return found


def experiment(name: str, baseline: str, commit: str) -> Revision:
    """What DVC recorded for one of its experiments."""
    return Revision(commit, _lock_of(commit), name, baseline)


def _lock_of(commit: str) -> Lock:
    return parse_lock(git.file_at(commit, str(paths.LOCK)), f"{paths.LOCK} of {commit[:7]}")
