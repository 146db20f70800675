"""DVC's cache: the files behind the hashes of `dvc.lock`, of any commit; the only module that imports DVC."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import SCMError
from dvc_data.hashfile.hash_info import HashInfo

from mnist_pipeline.errors import PipelineError, in_one_line
from mnist_pipeline.history import revisions
from mnist_pipeline.history.revisions import Revision


class Cache:
    """The cache of the repository in the working folder.

    Raises:
        PipelineError: there is no repository of DVC.
    """

    def __init__(self) -> None:
        try:
            self._repo = Repo()
        except (DvcException, SCMError) as error:
            raise PipelineError(f"{Path.cwd()}: DVC does not work here: {in_one_line(error)}") from error

    def missing(self, outputs: Mapping[str, str]) -> list[str]:
        """The paths of outputs, each given with its MD5, that are not in the cache, or not whole."""
        return [path for path, md5 in outputs.items() if not self._whole(md5)]

    def place(self, outputs: Mapping[str, str], folder: Path) -> None:
        """Links outputs that are in the cache to their paths within a folder, for reading."""
        for path, md5 in outputs.items():
            for name, file_md5 in self._files(md5).items():
                link = folder / path / name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(self._location(file_md5))

    def fetch(self, outputs: Mapping[str, str]) -> None:
        """Brings outputs from the default remote into the cache, as far as it has them.

        By their hashes, not by their commit: DVC would ask the remotes that were configured in that commit.

        Raises:
            PipelineError: there is no remote, or it fails.
        """
        listed = [md5 for md5 in outputs.values() if md5.endswith(".dir")]
        self._pull(list(outputs.values()))
        self._pull([file for md5 in listed if self._location(md5).exists() for file in self._files(md5).values()])

    def _pull(self, hashes: Sequence[str]) -> None:
        try:
            self._repo.cloud.pull([HashInfo("md5", md5) for md5 in hashes])
        except (DvcException, OSError) as error:
            raise PipelineError(
                f"the DVC remote gives no files: {in_one_line(error)}: mend that and run again"
            ) from error

    def stale(self, stages: Sequence[str]) -> list[str]:
        """Which of these stages and of those that they depend on would run again, or have changed outputs."""
        try:
            return sorted(self._repo.status(targets=list(stages), with_deps=True))
        except DvcException as error:
            raise PipelineError(f"DVC cannot tell what is up to date: {in_one_line(error)}") from error

    def experiments(self) -> list[Revision]:
        """What DVC recorded for each experiment, those that the queue has run among them."""
        try:
            found = self._repo.experiments.ls(all_commits=True)
        except DvcException as error:
            raise PipelineError(f"DVC cannot list its experiments: {error}") from error
        listed = [(name, baseline, commit) for baseline, entries in found.items() for name, commit in entries if commit]
        return [revisions.experiment(*entry) for entry in listed]

    def _files(self, md5: str) -> dict[str, str]:
        """The MD5 of each file of an output by its path within it; a file that is an output itself has none."""
        if not md5.endswith(".dir"):
            return {"": md5}
        entries = json.loads(self._location(md5).read_text())
        return {entry["relpath"]: entry["md5"] for entry in entries}

    def _whole(self, md5: str) -> bool:
        if not self._location(md5).exists():
            return False
        return all(self._location(file_md5).exists() for file_md5 in self._files(md5).values())

    def _location(self, md5: str) -> Path:
        return Path(self._repo.cache.local.oid_to_path(md5))
