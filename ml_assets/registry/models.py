"""Model versions and the verdicts on them, in MLflow's registry.

A model is a folder whose content means nothing here; a verdict is a JSON object. Of the
rooms that train, judge and serve, the registry knows nothing but what they store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ml_assets.core.errors import ModelRefused, ObjectsUnavailable, unknown
from ml_assets.core.settings import Settings
from ml_assets.core.storage.checksums import require_same
from ml_assets.core.storage.files import delete_tree
from ml_assets.core.storage.marker import note
from ml_assets.registry.tracking import runs
from ml_assets.registry.tracking.flavor import DATA, PARTS, Flavor
from ml_assets.registry.tracking.moving import on_this_machine

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

Alias = Literal["candidate", "champion", "challenger"]

CHECKSUM = "files_sha256"
"""The tag of a version that says what its files held when they were registered."""
EVALUATION = "evaluation"
REPORT = f"{EVALUATION}/report.json"
CARD = "card"
"""The folder, of a version's run, of what people read of it."""


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One registered version of a system's model.

    uri: for `mlflow.pyfunc.load_model`; page: where MLflow's UI shows it, below its address;
    tags: what it was made from, as given to `register`.
    """

    system: str
    version: int
    run_id: str
    uri: str
    page: str
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """What MLflow keeps of the run that made a version.

    params: as texts; metrics: the latest of each; began, ended: by the wall clock, None if unknown
    """

    params: Mapping[str, str]
    metrics: Mapping[str, float]
    began: datetime | None
    ended: datetime | None


class ModelRegistry:
    """The models of all systems; a system's registered model and experiment bear its name.

    Light to build: the first call imports MLflow (1.7 CPU seconds), and the first of an
    installation makes MLflow's tables (2 CPU seconds).
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def register(
        self,
        system: str,
        folder: Path,
        *,
        params: Mapping[str, object],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        figures: Mapping[str, bytes] | None = None,
        flavor: Flavor | None = None,
    ) -> ModelVersion:
        """Store the model in `folder` as the next version, and name it the candidate.

        params, metrics: logged on a run of its own and on MLflow's logged model; tags: on the
        run and on the version, where `data_version` also links the training set. figures: PNGs by
        name. flavor: how MLflow loads, serves and evaluates the model; without, it cannot.

        If anything fails the run ends as FAILED and there is no version.
        """
        if not folder.is_dir():
            raise ModelRefused(f"the new model of {system!r} should lie in {folder}: not there")
        client = self._client
        with runs.tracked_run(client, self.settings, system, tags) as (run_id, experiment_id):
            model_id = str(client.create_logged_model(
                experiment_id, name=system, source_run_id=run_id, params=runs.texts(params),
                model_type=None if flavor is None else flavor.model_type).model_id)
            runs.log(client, run_id, params=params, metrics=metrics, model_id=model_id)
            runs.log_data_set(client, run_id, system, tags)
            runs.log_figures(client, run_id, "training", figures or {})
            source, checksum = runs.store_model(client, run_id, model_id, folder, flavor)
            self._make_registered_model(system)
            made = client.create_model_version(system, source, run_id,
                                               tags={**tags, CHECKSUM: checksum})
            client.set_registered_model_alias(system, "candidate", str(made.version))
        note(self.settings.mlflow_artifacts)
        return _version(made)

    def get(self, system: str, version: int) -> ModelVersion:
        """One version. Raises UnknownName, saying which there are."""
        return _version(self._find(system, version))

    def latest(self, system: str) -> ModelVersion | None:
        """The version that was registered last, None if there is none."""
        registered = self._search(system, 1)
        return _version(registered[0]) if registered else None

    def versions(self, system: str) -> list[ModelVersion]:
        """All versions, oldest first."""
        return [_version(registered) for registered in reversed(self._search(system, 10_000))]

    def folder(self, system: str, version: int) -> Path:
        """The model's folder on this machine, as it was registered; not to be written to.

        It lies where MLflow keeps it (nothing is copied) unless that is another machine. Raises
        ModelRefused if its files are gone, or are not those that were registered.
        """
        registered = self._find(system, version)
        from mlflow.exceptions import MlflowException

        try:
            stored = on_this_machine(self.settings, str(registered.source))
            if not (stored / DATA).is_dir():
                raise FileNotFoundError(f"there is no folder {stored / DATA}")
        except ObjectsUnavailable:
            raise
        except (OSError, MlflowException) as error:
            raise ModelRefused(
                f"version {version} of model {system!r} has lost its files in "
                f"{registered.source}: roll back to an earlier version, or train again ({error})"
            ) from error
        what = f"version {version} of model {system!r}"
        require_same(stored, PARTS, registered.tags.get(CHECKSUM), what)
        return stored / DATA

    def log_evaluation(
        self,
        system: str,
        version: int,
        report: Mapping[str, Any],
        *,
        metrics: Mapping[str, float] | None = None,
        figures: Mapping[str, bytes] | None = None,
    ) -> None:
        """Store the verdict on a version, in place of an earlier one.

        report: a JSON object without NaN; metrics: shown on the version's run, as
        `holdout/<name>`, and on its logged model; figures: PNGs by name.
        """
        text = json.dumps(report, indent=1, allow_nan=False)
        run_id = str(self._find(system, version).run_id)
        runs.log_figures(self._client, run_id, EVALUATION, figures or {})
        shown = {f"holdout/{name}": value for name, value in (metrics or {}).items()}
        runs.log(self._client, run_id, metrics=shown,
                 model_id=runs.logged_model(self._client, run_id))
        self._client.log_text(run_id, text, REPORT)

    def evaluation(self, system: str, version: int) -> Mapping[str, Any] | None:
        """The verdict on a version, None if it was not judged yet."""
        folder = self._stored(system, version, EVALUATION)
        if folder is None or not (path := folder / Path(REPORT).name).exists():
            return None
        report: Mapping[str, Any] = json.loads(path.read_text())
        return report

    def figures(self, system: str, version: int) -> dict[str, bytes]:
        """The PNGs of its evaluation, by name; none if it was not judged."""
        folder = self._stored(system, version, EVALUATION)
        paths = [] if folder is None else sorted(folder.glob("*.png"))
        return {path.stem: path.read_bytes() for path in paths}

    def training(self, system: str, version: int) -> TrainingRun:
        """What its training was given, and what it came to. Raises UnknownName."""
        run = self._client.get_run(str(self._find(system, version).run_id))
        began, ended = (None if at is None else datetime.fromtimestamp(at / 1000, UTC)
                        for at in (run.info.start_time, run.info.end_time))
        return TrainingRun(params=dict(run.data.params), metrics=dict(run.data.metrics),
                           began=began, ended=ended)

    def log_card(self, system: str, version: int, *, page: str, markdown: str) -> None:
        """Store what people read of a version, in place of what was there before."""
        run_id = str(self._find(system, version).run_id)
        for name, text in (("report.html", page), ("model_card.md", markdown)):
            self._client.log_text(run_id, text, f"{CARD}/{name}")

    def set_alias(self, system: str, alias: Alias, version: int) -> None:
        """Let `alias` name this version and no other. Who sets it last decides."""
        from mlflow.exceptions import MlflowException

        self._find(system, version)
        try:
            self._client.set_registered_model_alias(system, alias, str(version))
        except MlflowException:
            # MLflow looks for the alias and then makes it: another process did so in between.
            self._client.set_registered_model_alias(system, alias, str(version))

    def remove_alias(self, system: str, alias: Alias) -> None:
        """Let `alias` name no version."""
        if self._search(system, 1):
            self._client.delete_registered_model_alias(system, alias)

    def aliased(self, system: str, alias: Alias) -> int | None:
        """The version that `alias` names, None if it names none."""
        if not self._search(system, 1):
            return None
        named = self._client.get_registered_model(system).aliases.get(alias)
        return None if named is None else int(named)

    def forget(self, system: str) -> None:
        """Delete all versions, runs and files of a system that starts over. Can be repeated."""
        from mlflow.exceptions import MlflowException

        if self.settings.mlflow_database.exists():
            try:
                self._client.delete_registered_model(system)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            runs.forget(self._client, system)
        delete_tree(self.settings.mlflow_artifacts / system, keeping=self.settings.cache)

    def _stored(self, system: str, version: int, folder: str) -> Path | None:
        """A folder of files that its run put out, on this machine; None if there is none."""
        run_id = str(self._find(system, version).run_id)
        if not self._client.list_artifacts(run_id, folder):
            return None
        uri = self._client.get_run(run_id).info.artifact_uri
        return on_this_machine(self.settings, f"{uri}/{folder}")

    @cached_property
    def _client(self) -> MlflowClient:
        return runs.connect(self.settings)

    def _search(self, system: str, most: int) -> list[MlflowVersion]:
        """The latest versions, latest first."""
        if not self.settings.mlflow_database.exists():  # a mere look makes no tables
            return []
        return list(self._client.search_model_versions(
            f"name = '{system}'", order_by=["version_number DESC"], max_results=most
        ))

    def _find(self, system: str, version: int) -> MlflowVersion:
        from mlflow.exceptions import MlflowException

        try:
            if self.settings.mlflow_database.exists():
                return self._client.get_model_version(system, str(version))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        known = [str(there.version) for there in self.versions(system)]
        raise unknown(f"version of model {system!r}", str(version), known)

    def _make_registered_model(self, system: str) -> None:
        from mlflow.exceptions import MlflowException

        if self._search(system, 1):
            return
        try:
            self._client.create_registered_model(system)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _version(registered: MlflowVersion) -> ModelVersion:
    return ModelVersion(
        system=str(registered.name), version=int(registered.version), run_id=str(registered.run_id),
        uri=f"models:/{registered.name}/{registered.version}",
        page=f"/#/models/{registered.name}/versions/{registered.version}",
        tags={name: value for name, value in registered.tags.items() if name != CHECKSUM},
    )
