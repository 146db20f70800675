"""What git knows of the project, by its plumbing commands: their formats depend on no user's settings.

Every path is relative to the project, which may be a subfolder of its repository. That a commit, a file or a tag does
not exist is an answer; that git cannot look is an error.
"""

import os
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from mnist_pipeline.errors import PipelineError, one_line

KEPT = ("GIT_CONFIG", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")
"""Variables of git that stay; others, such as those of its hooks, name another repository or shape what it prints."""


class NoRepositoryError(PipelineError):
    """There is no git, or the working folder is in no repository."""


def output(*arguments: str, allowed: Sequence[int] = (0,), stdin: str = "") -> bytes:
    """The standard output of git.

    Raises:
        PipelineError: it ends with a code that is not `allowed`.
        NoRepositoryError: there is no repository, or no git.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(KEPT)}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            input=os.fsencode(stdin),
            env=kept | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise NoRepositoryError(f"git is not installed, or not on the path ({error.strerror})") from error
    if done.returncode not in allowed:
        reason = done.stderr.decode(errors="replace")
        kind = NoRepositoryError if "not a git repository" in reason else PipelineError
        raise kind(f"git {arguments[0]}: {one_line(reason) or f'it ended with code {done.returncode}'}")
    return done.stdout


def lines(*arguments: str) -> list[str]:
    """The lines of it, or what NUL characters separate."""
    text = output(*arguments).decode(errors="replace")
    return [line for line in text.split("\0" if "-z" in arguments else "\n") if line]


def prefix() -> str:
    """The path of the project within its repository, such as `ml/digits/`; empty for the repository's own folder."""
    return os.fsdecode(output("rev-parse", "--show-prefix")).removesuffix("\n")


def find_commit(revision: str) -> str | None:
    """The full name of the commit that a branch, a tag, a short or a full name means; none where git knows no such."""
    name = f"{revision}^{{commit}}"
    found = output("rev-parse", "--verify", "--quiet", "--end-of-options", name, allowed=(0, 1)).decode().split()
    return found[-1] if found else None


def commits_of(path: Path) -> list[str]:
    """The commits of all branches and tags that changed a file, newest first."""
    present = ["HEAD"] if find_commit("HEAD") else []
    every = ("--branches", "--tags", "--remotes", *present)
    return lines("rev-list", "--full-history", "--date-order", *every, "--", path.as_posix())


def first_commit_with(text: str, path: Path) -> str | None:
    """The oldest commit of all branches and tags in which a text stands in a file; none where none has it."""
    commits = tuple(reversed(commits_of(path)))
    found = zip(commits, _contents(commits, path), strict=True)
    return next((commit for commit, content in found if text in (content or "")), None)


@lru_cache(maxsize=1)  # `sync` looks for many texts in the same history, and a commit never changes
def _contents(commits: tuple[str, ...], path: Path) -> list[str | None]:
    return files_at(commits, path)


def files_at(revisions: Sequence[str], path: Path) -> list[str | None]:
    """The content of a text file in each of some commits; none where one has no such file."""
    if not revisions:
        return []
    names = "".join(f"{revision}:{prefix()}{path.as_posix()}\n" for revision in revisions)
    stream = BytesIO(output("cat-file", "--batch", stdin=names))
    contents: list[str | None] = []
    for _ in revisions:
        *_, kind, size = stream.readline().split()  # `<object> blob <size>`, or `<name> missing`
        content = stream.read(int(size) + 1)[:-1] if size.isdigit() else b""
        contents.append(content.decode(errors="replace") if kind == b"blob" else None)
    return contents


def changed_files(excluded: Sequence[str] = (), between: tuple[str, str] | None = None) -> list[str]:
    """The files, also new ones, that differ from the commit or between two, but for `excluded` files and folders."""
    where = ["--", ".", *(f":(exclude){path}" for path in excluded)]
    if between:
        return lines("diff-tree", "-r", "-z", "--name-only", *between, *where)
    changed = lines("status", "--porcelain", "-z", "--no-renames", "--untracked-files=normal", *where)
    return [entry[3:] for entry in changed]


def cut_off_commits() -> set[str]:
    """The commits of a shallow clone whose parents it lacks: what they record may be older."""
    listed = Path(os.fsdecode(output("rev-parse", "--git-path", "shallow")).removesuffix("\n"))
    return set(listed.read_text(encoding="ascii").split()) if listed.exists() else set()


def tags_with(commit: str) -> list[str]:
    """The tags of a commit and of those after it."""
    return lines("for-each-ref", f"--contains={commit}", "--format=%(refname:strip=2)", "refs/tags")


def subject(commit: str) -> str:
    """The short name of a commit and the first line of its message."""
    found = output("rev-list", "--max-count=1", "--encoding=UTF-8", "--format=%s", commit).decode(errors="replace")
    return f"{commit[:7]} {found.splitlines()[1]}"  # the first line is the commit's full name
