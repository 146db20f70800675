"""MLflow's model registry: versions of a model, and the aliases that say which of them is in use."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.tracking.model import REGISTERED, ROW
from mnist_pipeline.tracking.store import open_store, told_in_one_line

CHAMPION = "champion"
PREVIOUS = "previous"
MOST = 1000
"""Names of models that are looked through."""
MOST_CHARACTERS = 5000
"""Of a version's description: the width of MLflow's column, which PostgreSQL insists on."""
ELSEWHERE = "\nThe rest of the card, and its pictures, are in the folder card of the run's artifacts.\n"
ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a model: its name, number and aliases, and the MD5 of its ONNX file."""

    name: str
    version: str
    aliases: tuple[str, ...]
    md5: str


class Registry:
    """The registry of the store that holds an experiment; its methods raise `PipelineError` where MLflow fails."""

    def __init__(self, experiment: str) -> None:
        with told_in_one_line():
            store = open_store(experiment)
        self._client, self._experiment = store.client, store.models

    def versions(self, name: str) -> list[RegisteredVersion]:
        """All versions of a model, newest first; none where the registry does not know it."""
        with told_in_one_line():
            if not self._client.search_registered_models(f"name = '{name}'"):
                return []
            aliases = self._client.get_registered_model(name).aliases
            found = [_version(entry, aliases) for entry in self._client.search_model_versions(f"name = '{name}'")]
        return sorted(found, key=lambda version: int(version.version), reverse=True)

    def versions_of(self, md5: str) -> list[RegisteredVersion]:
        """The versions, of any name, that are an ONNX file with this MD5."""
        with told_in_one_line():
            names = [model.name for model in self._client.search_registered_models(max_results=MOST)]
        return [version for name in names for version in self.versions(name) if version.md5 == md5 != ""]

    def find_alias(self, name: str, alias: str) -> RegisteredVersion | None:
        return next((version for version in self.versions(name) if alias in version.aliases), None)

    def find_address(self, address: str) -> RegisteredVersion:
        """What `models:/<name>@<alias>` or `models:/<name>/<version>` means.

        Raises:
            PipelineError: it is no such address, or there is no such version.
        """
        parts = ADDRESS.fullmatch(address)
        if parts is None:
            raise PipelineError(f"{address}: expected models:/<name>@<alias> or models:/<name>/<version>")
        for version in self.versions(parts["name"]):
            if parts["version"] == version.version or parts["alias"] in version.aliases:
                return version
        raise PipelineError(f"{address}: MLflow's registry has no such version; mnist-pipeline promote makes one")

    def find_model(self, md5: str) -> LoggedModel:
        """The model that the row of an ONNX file shows.

        Raises:
            PipelineError: there is none.
        """
        with told_in_one_line():
            found = self._client.search_logged_models([self._experiment], f"tags.`dvc.md5` = '{md5}'")
        for model in found:
            if model.status == LoggedModelStatus.READY:
                return model
        raise PipelineError("MLflow has no row of this ONNX file: run mnist-pipeline sync")

    def register(self, name: str, model: LoggedModel, tags: Mapping[str, str], card: str) -> RegisteredVersion:
        """A new version of `name`, without an alias; its description is the model card, as far as there is room."""
        with told_in_one_line():
            self._make_name(name)
            made = self._client.create_model_version(
                name,
                model.artifact_location,  # its address, models:/<id>, MLflow would look for in its default store
                model.tags[ROW],
                tags={**tags, "dvc.md5": model.tags["dvc.md5"]},
                description=shortened(card, MOST_CHARACTERS),
                model_id=model.model_id,
            )
            self._client.set_logged_model_tags(model.model_id, {REGISTERED: f"{name}/{made.version}"})
        return _version(made, {})

    def _make_name(self, name: str) -> None:
        if self._client.search_registered_models(f"name = '{name}'"):
            return
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # then another client was first
                raise

    def set_champion(self, chosen: RegisteredVersion, former: RegisteredVersion | None) -> None:
        """Gives a version the alias `champion`; the one that had it becomes `previous`."""
        with told_in_one_line():
            self._client.set_registered_model_alias(chosen.name, CHAMPION, chosen.version)
            if former is None:
                return
            try:
                self._client.set_registered_model_alias(chosen.name, PREVIOUS, former.version)
            except BaseException:
                self._client.set_registered_model_alias(chosen.name, CHAMPION, former.version)
                raise

    def fetch_network(self, version: RegisteredVersion, folder: Path) -> Path:
        """Brings the ONNX file of a version into a folder; returns where it is."""
        with told_in_one_line():
            address = self._client.get_model_version_download_uri(version.name, version.version)
            local = download_artifacts(address, dst_path=str(folder), tracking_uri=self._client.tracking_uri)
        for network in Path(local).rglob("*.onnx"):
            return network
        raise PipelineError(f"{version.name} version {version.version}: holds no ONNX file: give {CHAMPION} to another")


def shortened(card: str, most: int) -> str:
    """As many sections of a card as fit, with a word on where the rest is."""
    kept, *sections = card.split("\n## ")
    for section in sections:
        if len(kept) + len(section) + len(ELSEWHERE) + 4 > most:
            return kept + ELSEWHERE
        kept += f"\n## {section}"
    return kept


def _version(entry: ModelVersion, aliases: Mapping[str, str]) -> RegisteredVersion:
    own = sorted(alias for alias, version in aliases.items() if str(version) == str(entry.version))
    return RegisteredVersion(entry.name, str(entry.version), tuple(own), entry.tags.get("dvc.md5", ""))
