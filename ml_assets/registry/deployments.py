"""Who answers, since when and why: an append-only record of whole states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.errors import NotReady
from ml_assets.core.storage.database import Database, writing
from ml_assets.core.storage.places import Place
from ml_assets.registry.changes import changed
from ml_assets.registry.record import (
    COLUMNS,
    Deployment,
    came,
    deployment_of,
    in_force,
    row_of,
    succeeding,
    takeovers,
)
from ml_assets.registry.rollout import (
    Action,
    Approve,
    Canary,
    Promote,
    Rollback,
    Rollout,
    Shadow,
)
from ml_assets.registry.storage.record_file import GUARD, RecordFile

if TYPE_CHECKING:
    from ml_assets.registry.storage.record_tables import RecordTables

__all__ = ["Deployment", "Deployments", "came", "in_force", "takeovers"]

SELECT = f"""select id, {COLUMNS},
    (select max(earlier.id) from deployments earlier
     where earlier.system = deployments.system and earlier.id < deployments.id)
    from deployments where system = ? order by id"""


class Deployments:
    """The record at `place`. Safe to share between threads and processes.

    Nothing needs closing. Each call raises LogUnavailable if the record cannot be read or
    written, also if its file was deleted or replaced since this object was made.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._kept = _kept_at(place)

    def sequence(self) -> int:
        """The id of the latest record of any system, 0 if there is none: cheap to poll."""
        with self._kept.open() as db:
            (latest,) = db.execute("select coalesce(max(id), 0) from deployments").fetchone()
            return int(latest)

    def current(self, system: str) -> Deployment | None:
        """What is in force; None before the first deployment."""
        with self._kept.open() as db:
            return _current(db, system)

    def history(self, system: str) -> list[Deployment]:
        """All records of a system, oldest first."""
        with self._kept.open() as db:
            return _history(db, system)

    def act(
        self,
        system: str,
        action: Action,
        *,
        reason: str,
        by: str,
        at: datetime,
        expecting: int | None = None,
    ) -> Deployment:
        """Carry the action out; the record that says so, in force as soon as this returns.

        If all is as asked already, nothing is written and the record in force is returned.
        expecting: the id of the record that the decision was made on; NotReady is raised if
        another one has come since. Raises RolloutRefused if the action contradicts what is
        in force, and NotReady if there is nothing to roll back to.
        """
        with self._transaction() as db:
            current = _current(db, system)
            if expecting is not None and (current is None or current.id != expecting):
                in_force = "nothing is" if current is None else f"record {current.id} is"
                raise NotReady(f"record {expecting} of {system!r} was judged, but {in_force} in "
                               "force now: judge again")
            if isinstance(action, Rollback):
                state = _undone(system, _history(db, system))
            else:
                (count,) = db.execute(
                    "select count(*) from deployments where system = ?", (system,)).fetchone()
                before = None if current is None else current.state
                # Not random, so that a replay draws what it drew before.
                state = changed(before, action, fresh_salt=f"{system} {count + 1}")
                if current is not None and state == before and not isinstance(action, Approve):
                    return current
            return _append(db, succeeding(current, state, action, system=system, reason=reason,
                                          by=by, at=at))

    def promote(
        self, system: str, version: int, *, reason: str, by: str, at: datetime,
        alone: bool = False,
    ) -> Deployment:
        """Make `version` the champion; challengers stay unless `alone`. See `act`."""
        return self.act(system, Promote(version=version, alone=alone), reason=reason, by=by, at=at)

    def canary(
        self, system: str, version: int, share: float, *, reason: str, by: str, at: datetime
    ) -> Deployment:
        """Give `version` a share of the traffic in (0, 0.5]; 0 takes it out. See `act`."""
        return self.act(system, Canary(version=version, share=share), reason=reason, by=by, at=at)

    def shadow(
        self, system: str, version: int, *, reason: str, by: str, at: datetime, stop: bool = False
    ) -> Deployment:
        """Let `version` score what others answer, or stop that. See `act`."""
        return self.act(system, Shadow(version=version, stop=stop), reason=reason, by=by, at=at)

    def rollback(self, system: str, *, reason: str, by: str, at: datetime) -> Deployment:
        """Put back the whole state that the latest change replaced; the record that says so.

        Rolled back once more, it goes one change further back. Raises NotReady if there is
        nothing earlier.
        """
        return self.act(system, Rollback(), reason=reason, by=by, at=at)

    def forget(self, system: str) -> None:
        """Delete all records of a system that starts over; no id is given again."""
        with self._transaction() as db, db.unguarded("deployments", GUARD):
            db.execute("delete from deployments where system = ?", (system,))

    @contextmanager
    def _transaction(self) -> Iterator[Database]:
        """One writer at a time: what is read inside stays true until the block ends."""
        with self._kept.open() as db, writing(db):
            yield db


def _kept_at(place: Place) -> RecordFile | RecordTables:
    if isinstance(place, Path):
        return RecordFile(place)
    from ml_assets.registry.storage.record_tables import RecordTables

    return RecordTables(place)


def _undone(system: str, history: Sequence[Deployment]) -> Rollout:
    standing = in_force(history)
    if len(standing) < 2:
        first = f"version {standing[0].version} is the first" if standing else "none"
        raise NotReady(f"{system!r} has no earlier deployment to go back to: {first}")
    return standing[-2].state


def _append(db: Database, record: Deployment) -> Deployment:
    """The record as it was stored: with its id."""
    row = row_of(record)
    marks = ", ".join("?" * len(row))
    (number,) = db.execute(
        f"insert into deployments ({COLUMNS}) values ({marks}) returning id", row).fetchone()
    return replace(record, id=number)


def _current(db: Database, system: str) -> Deployment | None:
    row = db.execute(f"{SELECT} desc limit 1", (system,)).fetchone()
    return None if row is None else deployment_of(row)


def _history(db: Database, system: str) -> list[Deployment]:
    return [deployment_of(row) for row in db.execute(SELECT, (system,))]
