"""MLflow's model registry: versions of a model, and the aliases of those that are in use.

It is a view of git's tags (`history.tags`): what it lacks of them is written again.
"""

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.history import revisions
from mnist_pipeline.history.git import NoRepositoryError
from mnist_pipeline.history.tags import CHAMPION, ModelTags, read_tags
from mnist_pipeline.tracking.onnx_model import REGISTERED, find_network, log_network, run_of
from mnist_pipeline.tracking.store import errors_in_one_line, open_store

PREVIOUS = "previous"
LAST_CHANGE = "git.tags_changed"
"""Tag of a registered model: the time of the newest of git's tags that its aliases were set by, in Unix seconds."""
MOST_CHARACTERS = 5000
"""Of a version's description: the width of MLflow's column, which PostgreSQL insists on."""
ELSEWHERE = "\nThe rest of the card, and its pictures, are in the folder card of the run's artifacts.\n"
PICTURE = re.compile(r"^!\[.*\]\(.*\)\n\n?", re.MULTILINE)
ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a model: its name, number and aliases, the MD5 of its ONNX file, and its tag in git."""

    name: str
    version: str
    aliases: tuple[str, ...]
    md5: str
    tag: str


class Registry:
    """The registry of the store that holds an experiment; its methods raise `PipelineError` where MLflow fails."""

    @errors_in_one_line()
    def __init__(self, experiment: str) -> None:
        store = open_store(experiment)
        self._client, self._experiment = store.client, store.models

    @errors_in_one_line()
    def versions(self, name: str = "", md5: str = "") -> list[RegisteredVersion]:
        """The versions of a model, or those of any model that are an ONNX file with this MD5, newest first."""
        entries = self._client.search_model_versions(f"tags.`dvc.md5` = '{md5}'" if md5 else f"name = '{name}'")
        aliases = {name: self._client.get_registered_model(name).aliases for name in {entry.name for entry in entries}}
        found = []
        for entry in entries:
            own = sorted(alias for alias, number in aliases[entry.name].items() if str(number) == str(entry.version))
            digest, tag = entry.tags.get("dvc.md5", ""), entry.tags.get("git.tag", "")
            found.append(RegisteredVersion(entry.name, str(entry.version), tuple(own), digest, tag))
        return sorted(found, key=lambda version: (version.name, -int(version.version)))

    def find_alias(self, name: str, alias: str) -> RegisteredVersion | None:
        return next((version for version in self.versions(name) if alias in version.aliases), None)

    def find_address(self, address: str) -> RegisteredVersion:
        """The version that `models:/<name>@<alias>` or `models:/<name>/<version>` names; else a `PipelineError`."""
        parts = ADDRESS.fullmatch(address)
        if parts is None:
            raise PipelineError(f"{address}: expected models:/<name>@<alias> or models:/<name>/<version>")
        for version in self.versions(parts["name"]):
            if parts["version"] == version.version or parts["alias"] in version.aliases:
                return version
        raise PipelineError(f"{address}: MLflow's registry has no such version; mnist-pipeline promote makes one")

    @errors_in_one_line()
    def has_network(self, md5: str) -> bool:
        """Whether MLflow shows an ONNX file with this MD5."""
        return find_network(self._client, self._experiment, md5) is not None

    @errors_in_one_line()
    def fetch_network(self, version: RegisteredVersion, folder: Path) -> Path:
        """Bring the ONNX file of a version into a folder; returns where it is."""
        address = self._client.get_model_version_download_uri(version.name, version.version)
        local = download_artifacts(address, dst_path=str(folder), tracking_uri=self._client.tracking_uri)
        for network in Path(local).rglob("*.onnx"):
            return network
        raise PipelineError(
            f"{version.name} version {version.version} has no ONNX file in MLflow: restore its artifacts, or give the "
            f"alias {CHAMPION} to another version on MLflow's page"
        )

    @errors_in_one_line()
    def set_champion(self, chosen: RegisteredVersion, former: RegisteredVersion | None) -> None:
        """Give a version that git's tags have as champion the alias; the one that had it becomes `previous`."""
        if former:
            self._client.set_registered_model_alias(chosen.name, PREVIOUS, former.version)
        self._client.set_registered_model_alias(chosen.name, CHAMPION, chosen.version)
        self._record_change(chosen.name, read_tags().get(chosen.name, ModelTags()).last_change)

    @errors_in_one_line()
    def rebuild(self, name: str, tags: ModelTags) -> bool:
        """Write the versions and aliases that git's tags name and MLflow lacks; report whether an alias moved.

        An alias that MLflow has moves only where the tags are newer than those that it was set by: on a shared server,
        a clone may lack the newest. The ONNX files come from DVC's cache or its remote; a version whose file is in
        neither is left out.
        """
        known = self._client.search_model_versions(f"name = '{name}'")
        numbers = {(entry.tags.get("git.tag"), entry.tags.get("git.commit")): str(entry.version) for entry in known}
        for tag, commit in tags.versions.items():
            if (tag, commit) in numbers:
                continue
            with TemporaryDirectory() as folder:
                try:
                    network, md5, card = _files_of(name, tag, Path(folder))
                except PipelineError as error:
                    console.warn(f"{tag} left out of MLflow's registry: {error}")
                    continue
                described = {"git.commit": commit, "git.tag": tag, "dvc.md5": md5}
                numbers[tag, commit] = self._register(name, network, described, shortened(card, MOST_CHARACTERS))
            console.info(f"registry: models:/{name}/{numbers[tag, commit]} is {tag}")
        tagged = {CHAMPION: tags.champion, PREVIOUS: tags.previous}
        named = {alias: (tag, numbers.get((tag, tags.versions.get(tag)))) for alias, tag in tagged.items() if tag}
        moved = False
        for alias, (tag, number) in named.items():
            registered = self._client.get_registered_model(name)
            present = registered.aliases.get(alias)
            newer = tags.last_change > int(registered.tags.get(LAST_CHANGE, tags.last_change))
            if number and str(present) != number and (newer or present is None):
                self._client.set_registered_model_alias(name, alias, number)
                console.info(f"registry: models:/{name}@{alias} is {tag}")
                moved = moved or present is not None
        if CHAMPION in named and named[CHAMPION][1]:
            self._record_change(name, tags.last_change)
        return moved

    def _record_change(self, name: str, last_change: int) -> None:
        if last_change > int(self._client.get_registered_model(name).tags.get(LAST_CHANGE, 0)):
            self._client.set_registered_model_tag(name, LAST_CHANGE, str(last_change))

    def _register(self, name: str, network: Path, tags: dict[str, str], description: str) -> str:
        """Make a version, without an alias; returns its number."""
        model = find_network(self._client, self._experiment, tags["dvc.md5"])
        if model is None:
            model = log_network(self._client, self._experiment, name, network)
            self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        self._client.set_logged_model_tags(model.model_id, {REGISTERED: tags["git.tag"]})
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self._client.create_model_version(
            name,
            model.artifact_location,  # its address, models:/<id>, MLflow would look for in its default store
            run_of(model),
            tags=tags,
            description=description,
            # of a model without a run MLflow 3.17 looks for the run in its default store
            model_id=model.model_id if run_of(model) else None,
        )
        return str(made.version)


def rebuild_registry(experiment: str) -> None:
    """Write the versions and aliases of all models that git's tags name and MLflow lacks."""
    try:
        tagged = read_tags()
    except NoRepositoryError:
        return
    with one_promotion_at_a_time():
        for name, tags in tagged.items():
            Registry(experiment).rebuild(name, tags)


def one_promotion_at_a_time() -> AbstractContextManager[object]:
    """Keep other processes of this clone from changing versions and aliases."""
    paths.PROMOTION_LOCK.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(paths.PROMOTION_LOCK)


def shortened(card: str, most: int) -> str:
    """As many sections of a card as fit but for pictures, which MLflow cannot find, and where the rest is."""
    kept, *sections = PICTURE.sub("", card).split("\n## ")
    for section in sections:
        if len(kept) + len(section) + len(ELSEWHERE) + 4 > most:
            return kept + ELSEWHERE
        kept += f"\n## {section}"
    return kept


def _files_of(name: str, tag: str, folder: Path) -> tuple[Path, str, str]:
    """The ONNX file of a version, its MD5, and the text of its model card, as far as DVC has them."""
    from mnist_pipeline.history.cache import Cache  # DVC takes a second to import

    cache, outputs = Cache(), revisions.at(tag).outputs
    network, card = str(paths.onnx(name)), str(paths.model_card(name))
    wanted = {path: outputs[path] for path in (network, card) if path in outputs}
    at_hand = wanted.keys() - cache.missing(wanted, pull=True)
    if network not in at_hand:
        raise PipelineError(f"{network} of this version is neither in DVC's cache nor in its remote")
    cache.place({path: wanted[path] for path in at_hand}, folder)
    text = (folder / card).read_text(encoding="utf-8", errors="replace") if card in at_hand else ""
    return folder / network, wanted[network], text
