"""Repairs what can be repaired without loss, and gives up lost files if a person decides so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from ml_assets.core.errors import NotReady, StateDamaged, unknown
from ml_assets.core.installation import claim, mark_anew
from ml_assets.core.settings import Settings
from ml_assets.core.storage.condition import trouble_of
from ml_assets.core.storage.files import make_folder
from ml_assets.core.storage.layout import (
    OLD_CLOCK,
    SET_ASIDE,
    SQLITE_SIDES,
    STATE,
    StateFile,
    is_clock,
    state_file,
    state_in,
)
from ml_assets.core.storage.marker import change_notes, read_marker
from ml_assets.core.storage.modes import mend_modes
from ml_assets.core.storage.places import Place
from ml_assets.core.time import DAY, EventClock, midnight
from ml_assets.ingest.log.storage.opening import looking
from ml_assets.registry.tracking.moving import follow


def mend(settings: Settings) -> Iterator[str]:
    """Repair marker, modes, paths, the clock and what can be recreated; say what was done.

    A damaged file is set aside, never deleted. Sound files are left alone. Raises
    InstallationRefused if nothing shows that the folder is ours.
    """
    try:
        marker = read_marker(settings.var)
    except StateDamaged as error:
        if "--mend" not in str(error):
            raise
        marker = None
    if marker is None:
        mark_anew(settings)
        yield "rewrote the marker"
    closed = mend_modes(settings.var, deep=True)
    if closed:
        yield f"closed {len(closed)} files and folders to others"
    for about in _damaged(settings):
        if about.rebuilt:
            yield from _set_aside(settings, about)
            if is_clock(about):
                yield from _set_clocks(settings, about)
    path = settings.mlflow_database
    if isinstance(path, Path) and trouble_of(
            path, _about("mlflow/mlflow.sqlite"), made=True) is None:
        moved = follow(path, settings.mlflow_artifacts)
        if moved:
            yield f"updated {moved} paths of models to {settings.var}"


def give_up(settings: Settings, name: str) -> Iterator[str]:
    """Set a lost or damaged file aside, so an empty one can be created; say what was done.

    Raises UnknownName for a file that no installation has, NotReady for a sound one.
    """
    about = state_file(name)
    if about is None:
        raise unknown("file of an installation", name, [each.name for each in STATE])
    if about not in list(_damaged(settings)):
        raise NotReady(f"{settings.var / name} is sound, so there is no loss to accept")
    yield from _set_aside(settings, about)
    claim(settings, needs=())


def _damaged(settings: Settings) -> Iterator[StateFile]:
    marker = read_marker(settings.var)
    made = () if marker is None else marker.files
    for about in state_in(settings.var, made):
        if trouble_of(settings.var / about.name, about, made=about.name in made, deep=True):
            yield about


def _about(name: str) -> StateFile:
    about = state_file(name)
    assert about is not None
    return about


def _set_aside(settings: Settings, about: StateFile) -> Iterator[str]:
    """Move away the file, its SQLite side files and files that are meaningless without it."""
    now = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    names = (about.name, *about.takes_along)
    for name in names:
        for side in ("", *SQLITE_SIDES):
            path = settings.var / f"{name}{side}"
            if not os.path.lexists(path):
                continue
            target = settings.var / SET_ASIDE / f"{path.name}.{now}"
            make_folder(target.parent)
            shutil.move(path, target)
            if not side:
                yield f"moved {name} to {target.relative_to(settings.var)}"
    change_notes(settings.var, drop=names)


def _set_clocks(settings: Settings, about: StateFile) -> Iterator[str]:
    """Set the clock to the latest instant that the installation knows of its system, and start it.

    The one clock of an earlier version is replaced by one for each system.
    """
    names = [path.name for path in sorted(settings.lake.glob("*/"))]
    if about != OLD_CLOCK:
        names = [Path(about.name).parent.name]
    for name in names:
        latest = max([*_logged(settings.event_log, name), *_closed(settings.lake / name)],
                     default=None)
        if latest is None:
            yield f"the clock of {name!r} is now the machine's: nothing was replayed here"
            continue
        clock = EventClock(settings.clock_file(name))
        clock.set(latest)
        clock.start()
        yield f"the clock of {name!r} resumes from {latest:%Y-%m-%d %H:%M:%S} UTC"


def _logged(place: Place, system: str) -> Iterator[datetime]:
    if isinstance(place, Path) and trouble_of(
            place, _about("event_log.sqlite"), made=True) is not None:
        return
    with looking(place) as db:
        if db is None:
            return
        for question in ("select max(accepted_at) from predictions where system = ?",
                         "select max(received_at) from feedback where system = ?"):
            (found,) = db.execute(question, (system,)).fetchone()
            if found is not None:
                yield datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found)


def _closed(tables: Path) -> Iterator[datetime]:
    """The ends of the ingested days."""
    for path in tables.glob("events/[0-9]*.parquet"):
        try:
            yield midnight(date.fromisoformat(path.stem)) + DAY
        except ValueError:
            continue
