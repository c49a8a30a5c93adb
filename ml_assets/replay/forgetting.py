"""Forgets one system: all that its runs have made, in every store, and nothing of any other's."""

from __future__ import annotations

from contextlib import closing

from ml_assets.automation import forgetting as automation
from ml_assets.automation.instance import instance
from ml_assets.core.installation import require_marked
from ml_assets.core.runtime.locks import out_of_service
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import delete_tree, make_private
from ml_assets.core.storage.layout import clock_of
from ml_assets.core.storage.marker import change_notes
from ml_assets.core.storage.mounts import remove
from ml_assets.core.system import System
from ml_assets.features.manifest import load_manifest
from ml_assets.features.store import drop_views
from ml_assets.ingest.log import forgetting as log_rows
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry

BEGUN = "being_forgotten"
"""The file, in the folder of the system, that stands while it is being forgotten."""


def half_forgotten(settings: Settings, system: str) -> bool:
    """Whether it was being forgotten when the process died; it must not go on from there."""
    return (settings.folder_of(system) / BEGUN).exists()


def forget(settings: Settings, system: System) -> None:
    """Delete all that the loop made for a system: its next run starts over.

    Each store forgets it in steps that can be repeated, so after a `kill -9` the next run finishes
    the work. Downloaded data sets and tokens stay. For whoever holds the system's replay
    lock. Raises InstallationRefused if the folder is not an installation, NotReady if an API serves
    the system or a run of it is in progress.
    """
    require_marked(settings.var)
    name, opened = system.name, instance(settings)
    with out_of_service(settings, name):
        automation.require_idle(opened, name)
        begun = settings.folder_of(name) / BEGUN
        make_private(begun)
        views = load_manifest(settings).views_of(name)
        if settings.event_log.exists():
            with closing(EventLog(settings.event_log, patience_s=60)) as log:
                log_rows.forget(log, name, views)
        drop_views(settings, views)
        if settings.deployments.exists():
            Deployments(settings.deployments).forget(name)
        ModelRegistry(settings).forget(name)
        delete_tree(settings.lake / name, keeping=settings.cache)
        automation.forget(opened, name)
        delete_tree(settings.plots / name, keeping=settings.cache)
        remove(settings.candidates(name))
        (settings.var / "logs" / f"{name}_api.log").unlink(missing_ok=True)
        settings.clock_file(name).unlink(missing_ok=True)
        change_notes(settings.var, drop=(clock_of(name).name, *_emptied(settings)))
        begun.unlink()


def _emptied(settings: Settings) -> list[str]:
    """The folders that are bare now, which is no loss."""
    return [path.relative_to(settings.var).as_posix()
            for path in (settings.lake, settings.mlflow_artifacts)
            if path.is_dir() and not any(path.iterdir())]
