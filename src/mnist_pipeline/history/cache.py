"""DVC's cache: the files behind the hashes of `dvc.lock`, of any commit; the only module that imports DVC.

Beside its documented `dvc.api`, which cannot do this, it uses parts of DVC that are not public, checked with DVC 3.67,
to which `pyproject.toml` holds it: `Repo`, its `status`, `cloud.pull`, `cache.local.oid_to_path` and `experiments.ls`,
`HashInfo`, and the JSON of a folder in the cache.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import SCMError
from dvc_data.hashfile.hash_info import HashInfo

from mnist_pipeline.errors import PipelineError, explained
from mnist_pipeline.history import revisions
from mnist_pipeline.history.revisions import Revision

DVC_ERRORS = (DvcException, SCMError, OSError)


class Cache:
    """The cache of the repository in the working folder; a `PipelineError` where DVC has none."""

    def __init__(self) -> None:
        with explained(f"{Path.cwd()}: DVC does not work here", *DVC_ERRORS):
            self._repo = Repo()

    def missing(self, outputs: Mapping[str, str], pull: bool = False) -> list[str]:
        """The paths of outputs, each given with its MD5, that are not in the cache, or not whole.

        With `pull`, they are fetched first.
        """
        missing = [
            path
            for path, md5 in outputs.items()
            if self.lacks(md5) or any(self.lacks(file) for file in self.files(md5).values())
        ]
        if missing and pull:
            self.fetch({path: outputs[path] for path in missing})
            return self.missing(outputs)
        return missing

    def lacks(self, md5: str) -> bool:
        """Whether a file, or the listing of a folder, is not in the cache."""
        return not self._location(md5).exists()

    def files(self, md5: str) -> dict[str, str]:
        """The MD5 of each file of an output by its path within it; a file that is an output itself has none."""
        if not md5.endswith(".dir"):
            return {"": md5}
        listing = self._location(md5)
        try:
            return {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise PipelineError(f"{listing}: damaged: delete it, and run dvc pull or dvc repro") from error

    def place(self, outputs: Mapping[str, str], folder: Path) -> None:
        """Link outputs that are in the cache to their paths within a folder, for reading."""
        for path, md5 in outputs.items():
            for name, file_md5 in self.files(md5).items():
                link = folder / path / name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(self._location(file_md5))

    def fetch(self, outputs: Mapping[str, str]) -> None:
        """Bring outputs from the default remote into the cache, as far as it has them.

        By their hashes, not by their commit: DVC would use the remotes that were configured in that commit.
        """
        self._pull([*outputs.values()])
        folders = [md5 for md5 in outputs.values() if md5.endswith(".dir") and not self.lacks(md5)]
        self._pull([file for md5 in folders for file in self.files(md5).values()])

    def _pull(self, hashes: Sequence[str]) -> None:
        with explained(
            "the DVC remote fails; fix that and run again", Exception
        ):  # a remote raises what its client does: of S3, of SSH, of HTTP
            self._repo.cloud.pull([HashInfo("md5", md5) for md5 in hashes])

    def stale(self, stages: Sequence[str]) -> list[str]:
        """Which of these stages and of those that they depend on would run again, or have changed outputs."""
        with explained("dvc status", *DVC_ERRORS):
            return sorted(self._repo.status(targets=list(stages), with_deps=True))

    def remotes(self) -> list[str]:
        """The names of the DVC remotes."""
        return list(self._repo.config["remote"])

    def experiments(self) -> list[Revision]:
        """What DVC recorded for each experiment, those that the queue has run among them."""
        with explained("dvc exp list", *DVC_ERRORS):
            found = self._repo.experiments.ls(all_commits=True)
        entries = [(commit, name, baseline) for baseline, listed in found.items() for name, commit in listed if commit]
        return revisions.read_locks({entry[0]: Revision(entry[0], {}, *entry[1:]) for entry in entries})

    def _location(self, md5: str) -> Path:
        return Path(self._repo.cache.local.oid_to_path(md5))
