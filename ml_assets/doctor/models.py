"""The model versions: whether their files are the registered ones, and where they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ml_assets.core.errors import LogUnavailable, ModelRefused
from ml_assets.core.settings import Settings
from ml_assets.core.storage.checksums import of_parts, verify
from ml_assets.doctor.findings import Finding
from ml_assets.registry.models import CHECKSUM
from ml_assets.registry.tracking.flavor import DATA, PARTS
from ml_assets.registry.tracking.moving import stale, within

RETRAIN = "restore it from a backup, roll back to an earlier version, or retrain"


def examine_models(settings: Settings) -> Iterator[Finding]:
    """A finding for each version that MLflow knows, and one for the paths it has for their files.

    Reads MLflow's database directly, because MLflow takes seconds to start.
    """
    path = settings.mlflow_database
    if not isinstance(path, Path):
        return  # as with files on another machine: whoever loads a model checks them
    try:
        versions = _versions(path) if path.is_file() else []
        moved = stale(path, settings.mlflow_artifacts) if versions else 0
    except (sqlite3.Error, LogUnavailable):
        return  # the file has its own finding
    if moved:
        yield Finding(
            what="mlflow/mlflow.sqlite", holds="the paths of model files", mended=True,
            trouble=f"has {moved} paths in another folder: the installation was moved",
            remedy="`ml-assets doctor --mend` updates them, and so does the next use of a model",
        )
    for system, version, source, checksum in versions:
        address = urlsplit(within(settings.mlflow_artifacts, source))
        if address.scheme != "file":
            continue  # on another machine
        what = f"model {system!r} {version}"
        trouble = _trouble(Path(unquote(address.path)) / DATA, checksum)
        if trouble is None and checksum is None:
            yield Finding(what=what, holds="a model version",
                          note="stored before checksums existed: damage may go unnoticed")
        else:
            yield Finding(what=what, holds="a model version", trouble=trouble, remedy=RETRAIN)


def _trouble(folder: Path, checksum: str | None) -> str | None:
    if not folder.is_dir():
        return f"has lost its files in {folder}"
    try:
        if checksum is not None and of_parts(folder.parent, PARTS) == checksum:
            return None
        # The model's own list may say which file differs.
        verify(folder)
    except (ModelRefused, OSError) as error:
        return f"is damaged: {error}"
    return None if checksum is None else f"is damaged: {folder} is not what was registered"


def _versions(path: Path) -> list[tuple[str, int, str, str | None]]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=5)) as db:
        return list(db.execute(
            "select v.name, v.version, v.source, (select t.value from model_version_tags t"
            " where t.name = v.name and t.version = v.version and t.key = ?)"
            " from model_versions v where v.current_stage <> 'Deleted_Internal'"
            " order by v.name, v.version", (CHECKSUM,)))
