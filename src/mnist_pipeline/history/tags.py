"""Versions of a model, and which of them were champion, as GTO keeps them: in annotated tags of git.

`lenet@v1.0.0` is a version, `lenet#champion#1` the first assignment of a stage; in a subfolder of its repository, both
begin with its path: `ml/digits=lenet@v1.0.0`. GTO writes them here, but git reads them: GTO reads nothing at all where
any artifact of the repository has a tag that it does not expect.
"""

import re
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gto.api import assign, register
from gto.constants import Action
from gto.exceptions import GTOException
from gto.tag import parse_name
from gto.versions import SemVer
from scmrepo.exceptions import SCMError

from mnist_pipeline.errors import PipelineError, explained
from mnist_pipeline.history import git

CHAMPION = "champion"
GTO_ERRORS = (GTOException, SCMError, OSError)
BEFORE_STAGES = re.compile(r"[\w-]+, champion: ")
"""How the message of a version's tag began when a promotion made no other tag."""
FIELDS = "%(refname:strip=2)%09%(*objecttype)%09%(*objectname)%09%(creatordate:unix)%09%(contents:subject)"


@dataclass
class ModelTags:
    """The tags of a model: its versions from the lowest, each with its commit, and the champions in their order."""

    versions: dict[str, str] = field(default_factory=dict)
    champions: list[str] = field(default_factory=list)
    last_change: int = 0

    @property
    def champion(self) -> str | None:
        return self.champions[-1] if self.champions else None

    @property
    def previous(self) -> str | None:
        """The champion before the present one."""
        return next((tag for tag in reversed(self.champions) if tag != self.champion), None)

    def at(self, commit: str) -> list[str]:
        """The versions of a commit: one, as GTO has it, unless somebody else tagged it again."""
        return [tag for tag, tagged in self.versions.items() if tagged == commit]


class _Tag(NamedTuple):
    """In the order of time; GTO counts changes within one second."""

    date: int
    counter: int
    name: str
    commit: str
    subject: str
    parsed: dict[str, Any]


def read_tags() -> dict[str, ModelTags]:
    """The tags of each model of this project; lightweight tags do not count, as in GTO."""
    own, found = git.prefix().removesuffix("/"), defaultdict[str, list[_Tag]](list)
    for line in git.lines("for-each-ref", f"--format={FIELDS}", "refs/tags"):
        name, kind, commit, date, subject = line.split("\t", 4)
        parsed = parse_name(name, raise_on_fail=False)
        folder, _, model = parsed.get("name", "").rpartition(":")
        if kind == "commit" and model and folder == own:
            found[model].append(_Tag(int(date or 0), parsed.get("counter", 0), name, commit, subject, parsed))
    models = {}
    for model, tags in found.items():
        registered = [tag for tag in tags if tag.parsed.get("action") == Action.REGISTER]
        registered.sort(key=lambda tag: SemVer(tag.parsed["version"]))
        entry = ModelTags({tag.name: tag.commit for tag in registered}, last_change=max(tag.date for tag in tags))
        for tag in sorted(tags):
            action, of_champion = tag.parsed.get("action"), tag.parsed.get("stage") == CHAMPION
            if action == Action.REGISTER and BEFORE_STAGES.match(tag.subject):
                entry.champions.append(tag.name)
            elif action == Action.ASSIGN and of_champion:
                entry.champions += entry.at(tag.commit)[-1:]
            elif action == Action.UNASSIGN and of_champion:
                entry.champions = [name for name in entry.champions if name not in entry.at(tag.commit)]
            elif action == Action.DEREGISTER:
                withdrawn = tag.name.partition("!")[0]
                entry.versions.pop(withdrawn, None)
                entry.champions = [name for name in entry.champions if name != withdrawn]
        models[model] = entry
    return {model: entry for model, entry in models.items() if entry.versions}


def next_version(tags: Iterable[str], bump: str) -> str:
    """`v1.0.0` at first, then the highest version of some tags with its `major`, `minor` or `patch` part raised."""
    numbers = [SemVer(number) for tag in tags if SemVer.is_valid(number := tag.rpartition("@")[2])]
    return str(max(numbers).bump(**{f"bump_{bump}": True}).version) if numbers else "v1.0.0"


def register_version(model: str, version: str, commit: str, message: str) -> str:
    """Tag a commit as a version of a model; returns the tag's name, or raises a `PipelineError` where GTO fails."""
    with explained(f"{model}@{version}: GTO cannot write this tag", *GTO_ERRORS):
        return str(register(Path.cwd(), _artifact(model), commit, version=version, message=message).tag)


def assign_champion(model: str, tag: str, tags: ModelTags) -> None:
    """Tag the commit of a version as the present champion; a `PipelineError` where GTO fails."""
    several = tags.at(tags.versions[tag])
    if several[1:]:
        raise PipelineError(
            f"{' and '.join(several)}: GTO takes one version of a model in a commit: delete one, with git tag --delete"
        )
    time.sleep(min(max(tags.last_change + 1 - time.time(), 0), 1))  # GTO orders changes by whole seconds
    with explained(f"{model}#{CHAMPION}: GTO cannot write this tag", *GTO_ERRORS):
        version = tag.rpartition("@")[2]
        assign(Path.cwd(), _artifact(model), CHAMPION, version=version, force=True)  # also of one that it was before


def _artifact(model: str) -> str:
    return f"{git.prefix().removesuffix('/')}:{model}".removeprefix(":")
