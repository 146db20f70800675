"""What ties a row to the files, the commit and the DVC experiment that it came from."""

import os
import subprocess

WRITTEN_BY_DVC = tuple(f":(exclude){path}" for path in ("dvc.lock", "data", "models", "reports"))
"""DVC changes these while it runs the pipeline; that does not make the code another."""


def lineage(stage: str, data_md5: str, source: str) -> dict[str, str]:
    """The tags of a row of `stage`, as `dvc.lock` names it; `source` is `stage` or `sync`.

    `git.dirty` says whether the work tree differs from the commit. What is not known has no tag.
    """
    tags = {"dvc.stage": stage, "data.md5": data_md5, "source": source}
    commit = _git("rev-parse", "--verify", "HEAD")
    if commit:
        tags["git.commit"] = tags["mlflow.source.git.commit"] = commit
        tags["git.dirty"] = str(bool(_git("status", "--porcelain", "--", ".", *WRITTEN_BY_DVC))).lower()
    for tag, variable in (("dvc.exp_name", "DVC_EXP_NAME"), ("dvc.baseline_rev", "DVC_EXP_BASELINE_REV")):
        if os.environ.get(variable):
            tags[tag] = os.environ[variable]
    return tags


def _git(*arguments: str) -> str:
    """What git prints; nothing where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
