"""What was told, and what waits to be: one record for each system.

A message is recorded in the transaction that opens or closes its incident, and sent afterwards: a
crash in between loses none, and a message that could not be delivered waits for its next attempt.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

from ml_assets.core.storage.database import Database, writing
from ml_assets.core.storage.files import make_private
from ml_assets.core.storage.places import Place
from ml_assets.core.storage.sqlite import open_file, use_wal
from ml_assets.monitoring.alerts.incident import CAUSES, Incident, grouped
from ml_assets.monitoring.alerts.message import News

PATIENCE_S = 10.0
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)
"""Between attempts at a message: doubled each time."""
LEASE = timedelta(minutes=2)
"""How long another process leaves a message alone that this one is sending."""
GIVEN_UP = timedelta(days=2)
SCHEMA = """
create table if not exists incidents (
    id {id} primary key, cause text not null, problem text not null,
    told_at text not null, closed_at text
);
create unique index if not exists one_open on incidents (cause) where closed_at is null;
create table if not exists deliveries (
    id {id} primary key, incident bigint not null references incidents (id),
    channel text not null, news text not null, problem text not null, at text not null,
    due_at text not null, attempts integer not null default 0, error text, done_at text
);
"""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message that waits for a channel. error: of the last attempt; done_at: when it was
    delivered"""

    id: int
    channel: str
    news: News
    problem: Incident
    at: datetime
    attempts: int
    error: str | None
    done_at: datetime | None


class AlertRecord:
    """The record at `place`; safe to share between processes. Raises LogUnavailable if it is in
    a database that does not answer.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def update(
        self, problems: Sequence[Incident], now: datetime, *, repeat: timedelta,
        channels: Sequence[str],
    ) -> list[tuple[News, Incident]]:
        """Record what stands at `now`; the messages that are due because of it.

        A cause is told when it begins, once more whenever `repeat` has passed, and when it is over.
        One that comes back within `repeat` of its last message waits until then. What another
        cause explains is told with that one (`grouped`).
        """
        said = list[tuple[News, Incident]]()
        with self._open() as db, writing(db):
            told = {each.cause: each for each in grouped(problems)}
            standing = {each.cause for each in problems}
            for cause in CAUSES:
                row = db.execute("select id, problem, told_at, closed_at from incidents where "
                                 "cause = ? order by id desc limit 1", (cause,)).fetchone()
                found = _moved(db, row, told.get(cause), cause in standing, now, repeat)
                if found is None:
                    continue
                incident, news, problem = found
                said.append((news, problem))
                for channel in channels:
                    db.execute(
                        "insert into deliveries (incident, channel, news, problem, at, due_at) "
                        "values (?, ?, ?, ?, ?, ?)", (
                            incident, channel, news, _stored(problem), _us(now), _us(now)))
        return said

    def claim(self, now: datetime) -> list[Delivery]:
        """The messages to be sent now; until their lease ends no other process gets them."""
        with self._open() as db, writing(db):
            rows = db.execute(f"select {_FIELDS} from deliveries where done_at is null and "
                              "due_at <= ? and at > ? order by id",
                              (_us(now), _us(now - GIVEN_UP))).fetchall()
            db.executemany("update deliveries set due_at = ? where id = ?",
                           [(_us(now + LEASE), row[0]) for row in rows])
        return list(map(_delivery, rows))

    def delivered(self, delivery: Delivery, now: datetime) -> None:
        with self._open() as db, writing(db):
            db.execute("update deliveries set done_at = ?, attempts = attempts + 1, error = null "
                       "where id = ?", (_us(now), delivery.id))

    def failed(self, delivery: Delivery, error: str, now: datetime) -> None:
        """It is tried again later, unless two days have passed."""
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2**min(delivery.attempts, 10))
        with self._open() as db, writing(db):
            db.execute("update deliveries set due_at = ?, attempts = attempts + 1, error = ? "
                       "where id = ?", (_us(now + wait), error[:500], delivery.id))

    def open(self) -> list[Incident]:
        """What stands."""
        with self._open() as db:
            return [_problem(row[0]) for row in db.execute(
                "select problem from incidents where closed_at is null order by id")]

    def deliveries(self, most: int = 100) -> list[Delivery]:
        """The latest ones, the latest first."""
        with self._open() as db:
            return list(map(_delivery, db.execute(
                f"select {_FIELDS} from deliveries order by id desc limit ?", (most,))))

    @contextmanager
    def _open(self) -> Iterator[Database]:
        if not isinstance(self._place, Path):
            from ml_assets.core.storage.postgres import make_schema, session

            with session(self._place) as tables:
                make_schema(self._place, tables, SCHEMA.format(
                    id="bigint generated always as identity").strip(";\n"))
                yield tables
            return
        new = not self._place.exists()
        if new:
            make_private(self._place)
        with closing(open_file(self._place, timeout=PATIENCE_S)) as db:
            if new:
                use_wal(db, PATIENCE_S)
            db.executescript(SCHEMA.format(id="integer"))
            yield db


def _moved(
    db: Database, row: tuple[int, str, str, str | None] | None, problem: Incident | None,
    stands: bool, now: datetime, repeat: timedelta,
) -> tuple[int, News, Incident] | None:
    """The incident of a cause brought up to date, and what is to be told of it.

    row: its latest one; problem: what is to be told of the cause, None if nothing is
    """
    if row is None or (row[3] is not None and (
            problem is None or now - datetime.fromisoformat(row[2]) >= repeat)):
        if problem is None:
            return None
        (added,) = db.execute(
            "insert into incidents (cause, problem, told_at) values (?, ?, ?) returning id",
            (problem.cause, _stored(problem), _us(now))).fetchone()
        return added, "opened", problem
    incident, stored, told_at, closed_at = row
    if problem is None:
        if closed_at is not None or stands:
            return None
        db.execute("update incidents set closed_at = ? where id = ?", (_us(now), incident))
        return incident, "resolved", _problem(stored)
    if closed_at is None:  # an incident keeps its beginning
        problem = replace(problem, since=_problem(stored).since)
    due = now - datetime.fromisoformat(told_at) >= repeat
    db.execute("update incidents set problem = ?, closed_at = null, told_at = ? where id = ?",
               (_stored(problem), _us(now) if due else told_at, incident))
    return (incident, "reminder", problem) if due else None


_FIELDS = "id, channel, news, problem, at, attempts, error, done_at"


def _delivery(row: tuple[int, str, str, str, str, int, str | None, str | None]) -> Delivery:
    news = next(each for each in get_args(News) if each == row[2])
    return Delivery(id=row[0], channel=row[1], news=news, problem=_problem(row[3]),
                    at=datetime.fromisoformat(row[4]), attempts=row[5], error=row[6],
                    done_at=datetime.fromisoformat(row[7]) if row[7] else None)


def _stored(problem: Incident) -> str:
    return json.dumps({**asdict(problem), "since": problem.since.isoformat()})


def _problem(stored: str) -> Incident:
    found = json.loads(stored)
    return Incident(**{**found, "what": tuple(found["what"]),
                      "since": datetime.fromisoformat(found["since"])})


def _us(instant: datetime) -> str:
    """With microseconds always, so that texts are in the order of time."""
    return instant.isoformat(timespec="microseconds")
