"""Where a served version came from: what it was made of, and who put it in traffic."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ml_assets.core.errors import MlAssetsError, NotReady
from ml_assets.core.settings import Settings
from ml_assets.registry.deployments import Deployment, Deployments, came
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.rollout import Role


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a model version was made from, as its training tagged it; None if it did not.

    training_set: its version, the address of its content; first_day, last_day: the days (the
    last included) on which its events happened; as_of: nothing learnt from then on is in it.
    """

    version: int
    training_set: str | None
    first_day: str | None
    last_day: str | None
    as_of: str | None
    feature_service: str | None
    git_commit: str | None
    dagster_run: str | None
    mlflow_run: str


def origin_of(settings: Settings, system: str, version: int) -> Origin:
    """What MLflow knows of a version.

    Raises NotReady if MLflow cannot be asked, UnknownName if it has no such version.
    """
    with _asking(settings):
        registered = ModelRegistry(settings).get(system, version)
    tags = registered.tags
    return Origin(
        version=version, training_set=tags.get("data_version"), first_day=tags.get("first_day"),
        last_day=tags.get("last_day"), as_of=tags.get("as_of"),
        feature_service=tags.get("feature_service"), git_commit=tags.get("git_commit"),
        dagster_run=tags.get("dagster_run_id"), mlflow_run=registered.run_id,
    )


def trained_on(settings: Settings, system: str) -> dict[str, list[int]]:
    """The versions that were trained on each training set, by its version, oldest first.

    Raises NotReady if MLflow cannot be asked.
    """
    with _asking(settings):
        versions = ModelRegistry(settings).versions(system)
    trained: dict[str, list[int]] = {}
    for each in versions:
        trained.setdefault(each.tags.get("data_version", ""), []).append(each.version)
    return trained


def decision_behind(
    settings: Settings, system: str, version: int, role: Role, at: datetime
) -> Deployment | None:
    """The decision that had put `version` in traffic, in this role, at the instant `at`.

    The last one, since a version may come back; None if there was none. A server follows a
    decision within a second, so another may have been in force already. Raises LogUnavailable.
    """
    history = Deployments(settings.deployments).history(system)
    return came([record for record in history if record.at <= at], version, role)


@contextmanager
def _asking(settings: Settings) -> Iterator[None]:
    """Raise NotReady in place of whatever MLflow, or the driver of its database, raises.

    The database is looked at first, since MLflow makes a missing one and tries a broken one
    again for a minute.
    """
    place = settings.mlflow_database
    try:
        if not place.exists():
            raise NotReady(f"MLflow cannot be asked: it has no database {place}")
        if isinstance(place, Path):
            with closing(sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True, timeout=2)) as db:
                db.execute("select 1 from model_versions limit 1")
        yield
    except MlAssetsError:
        raise
    except Exception as error:
        raise NotReady(f"MLflow cannot be asked: {type(error).__name__}: {error}") from error
