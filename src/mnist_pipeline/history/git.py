"""The commits of the repository, asked of git itself."""

import subprocess

from mnist_pipeline.errors import PipelineError

EVERYWHERE = ("--full-history", "--branches", "--tags", "--remotes")


def ask(*arguments: str) -> str:
    """What git prints; nothing where it fails, or where there is no git."""
    try:
        return command(*arguments).strip()
    except PipelineError:
        return ""


def command(*arguments: str) -> str:
    """What git prints.

    Raises:
        PipelineError: git fails, or there is none.
    """
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise PipelineError("git is not installed, or not on the path") from error
    if done.returncode:
        raise PipelineError(f"git {arguments[0]}: {' '.join(done.stderr.split())}")
    return done.stdout


def commit_of(revision: str) -> str:
    """The full name of the commit that a branch, a tag, a short or a full name means.

    Raises:
        PipelineError: git knows no such commit.
    """
    commit = ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if not commit:
        raise PipelineError(f"{revision}: git knows no such commit: git log and git tag list those there are")
    return commit


def commits_of(path: str) -> list[str]:
    """The commits of all branches and tags that changed a file, newest first."""
    return ask("log", *EVERYWHERE, "--date-order", "--format=%H", "HEAD", "--", path).split()


def first_commit_with(text: str, path: str) -> str | None:
    """The oldest commit of all branches and tags in which a text stands in a file; none where none has it."""
    found = ask("log", *EVERYWHERE, "--date-order", "--reverse", f"-S{text}", "--format=%H", "HEAD", "--", path).split()
    return found[0] if found else None


def file_at(commit: str, path: str) -> str:
    """The content of a text file in a commit; nothing where the commit has none."""
    return ask("show", f"{commit}:{path}")
