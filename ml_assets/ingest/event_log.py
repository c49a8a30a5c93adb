"""The event log: what the API accepted and answered, what shadows said, and feedback.

SQLite in WAL mode. What was committed survives `kill -9` of any process; a power cut may lose
the last commits (`synchronous=NORMAL`), unless each is on disk before it counts (`FULL`).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from ml_assets.core.errors import ContractViolation, LogUnavailable, TooOften, UnknownName
from ml_assets.core.feedback import FeedbackLimit
from ml_assets.core.settings import Ack
from ml_assets.ingest.served import (
    COLUMNS,
    Feedback,
    Prediction,
    ShadowScore,
    feedback_of,
    from_us,
    prediction_of,
    row_of,
    shadow_score_of,
    to_us,
)

__all__ = ["EventLog", "Feedback", "Prediction", "ShadowScore"]

SCHEMA = """
create table if not exists predictions (
    prediction_id  text primary key,
    system         text not null,
    event_id       text not null,
    event_timestamp integer not null,  -- microseconds since 1970, UTC
    accepted_at    integer not null,
    request        text not null,      -- the client's JSON object, as it came
    features_as_of integer not null,
    features       blob not null,      -- float32, little endian, in the order of feature_names
    feature_names  text not null,      -- JSON list
    model_version  integer not null,
    score          real not null,
    decision       integer not null,
    degraded       integer not null,
    unique (system, event_id)
);
create index if not exists predictions_by_day on predictions (system, accepted_at);
create table if not exists feedback (
    feedback_id   integer primary key,
    prediction_id text not null references predictions (prediction_id),
    system        text not null,
    label         integer not null,
    source        text not null,       -- who says so
    received_at   integer not null
);
create index if not exists feedback_by_day on feedback (system, received_at);
create index if not exists feedback_by_prediction on feedback (prediction_id, source);
create table if not exists shadow_scores (
    prediction_id text not null references predictions (prediction_id),
    model_version integer not null,    -- a version that answered nobody
    score         real not null,
    scored_at     integer not null,
    primary key (prediction_id, model_version)
) without rowid;
create index if not exists feedback_by_source on feedback (system, source, received_at);
create trigger if not exists feedback_stays before update on feedback
begin select raise(abort, 'feedback is append-only'); end;
create trigger if not exists feedback_remains before delete on feedback
begin select raise(abort, 'feedback is append-only'); end;
create table if not exists probe (id integer primary key, at integer not null);
"""
ADDED = {
    "role": "text not null default 'champion' check (role in ('champion', 'challenger'))",
    "propensity": "real not null default 1 check (propensity > 0 and propensity <= 1)",
}
"""Columns of `predictions` that came later. Of earlier rows the defaults are true: the champion
answered everything."""

SYNCHRONOUS: dict[Ack, str] = {"process": "normal", "disk": "full"}

Also = Callable[[sqlite3.Connection, Sequence[int]], None]
"""What else is written in the transaction that stores predictions."""


class EventLog:
    """Append-only store of predictions, shadow scores and feedback.

    One instance per thread; any number of threads and processes may write at once. Every
    method raises LogUnavailable where the file cannot be read or written, also where it was
    deleted or replaced after opening: what is written then could not be found again.
    """

    def __init__(self, path: Path, *, patience_s: float = 10, ack: Ack = "process") -> None:
        """Open `path`, creating it where it is missing; wait `patience_s` for other writers.

        ack: what each transaction survives once it is committed, see `core.settings`
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=patience_s, isolation_level=None)
            self._use_wal(time.monotonic() + patience_s)
            self._db.execute(f"pragma synchronous={SYNCHRONOUS[ack]}")
            # 16 MB: windows write the same pages again and again.
            self._db.execute("pragma wal_autocheckpoint=4000")
            self._db.execute("pragma foreign_keys=on")
            # In one transaction, so that processes which open a new file at once queue up.
            self._db.executescript(f"begin immediate; {SCHEMA} commit;")
            self._add_columns()
            self._file = _identity(path)
        except (sqlite3.Error, OSError) as error:
            raise LogUnavailable(f"cannot open the event log {path}: {error}") from error

    def _use_wal(self, deadline: float) -> None:
        # SQLite does not wait by itself when two processes switch a new file at once.
        while True:
            try:
                self._db.execute("pragma journal_mode=wal")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _add_columns(self) -> None:
        if not self._lacking():
            return
        self._db.execute("begin immediate")
        for column in self._lacking():  # again: another process may have been here first
            self._db.execute(f"alter table predictions add column {column} {ADDED[column]}")
        self._db.execute("commit")

    def _lacking(self) -> list[str]:
        there = {name for _, name, *_ in self._db.execute("pragma table_info(predictions)")}
        return [column for column in ADDED if column not in there]

    def close(self) -> None:
        self._db.close()

    def check(self) -> None:
        """Prove by a write that predictions can be logged. Raises LogUnavailable."""
        with self._writing():
            self._db.execute("insert or replace into probe values (1, unixepoch())")

    def append(
        self, predictions: Sequence[Prediction], also: Also | None = None
    ) -> list[Prediction]:
        """Store all of them in one transaction, or none; return what is stored for each.

        An event that is already there keeps its first answer, and this is returned for it.
        also: called in the same transaction, with the connection and the places of those that
        were not there before: what it writes is stored with them or not at all.
        Raises ContractViolation where a prediction cannot be stored as it is.
        """
        with self._writing():
            stored = [self._append(prediction) for prediction in predictions]
            new = [place for place, prediction in enumerate(predictions)
                   if stored[place] is prediction]
            if also is not None and new:
                also(self._db, new)
            return stored

    def _append(self, p: Prediction) -> Prediction:
        row = row_of(p)
        marks = ", ".join("?" * len(row))
        try:
            added = self._db.execute(
                f"insert into predictions ({COLUMNS}) values ({marks}) on conflict do nothing", row
            ).rowcount
        except sqlite3.IntegrityError as error:
            raise ContractViolation(
                f"the prediction for event {p.event_id!r} of {p.system!r} (score {p.score}) "
                f"cannot be logged: {error}"
            ) from error
        if added:
            return p
        first = self.answer_to(p.system, p.event_id)
        if first is None:
            raise ContractViolation(
                f"the prediction for event {p.event_id!r} of {p.system!r} cannot be logged: its "
                f"id {p.prediction_id!r} belongs to another event"
            )
        return first

    def add_feedback(self, feedback: Feedback, *, limit: FeedbackLimit | None = None) -> bool:
        """Store it; False where it is what this source said of this prediction last.

        A source may change its mind, and back; a repetition changes nothing. What it says
        later is known later, by a microsecond at least, whatever the clock does.
        limit: how much its source may say; a repetition is no new word

        Raises UnknownName where the system has made no such prediction, TooOften beyond the
        limit. Of racing calls, in any number of processes, one comes first.
        """
        about = (feedback.prediction_id, feedback.system)
        with self._writing():
            if not self._db.execute(
                "select 1 from predictions where prediction_id = ? and system = ?", about
            ).fetchone():
                raise UnknownName(
                    f"system {feedback.system!r} has made no prediction "
                    f"{feedback.prediction_id!r}; use the `prediction_id` of an answer"
                )
            last = self._db.execute(
                "select label, received_at from feedback where prediction_id = ? and source = ?"
                " order by feedback_id desc limit 1", (feedback.prediction_id, feedback.source),
            ).fetchone()
            received_us = to_us(feedback.received_at)
            if last is not None:
                if bool(last[0]) == feedback.label:
                    return False
                received_us = max(received_us, last[1] + 1)
            if limit is not None:
                self._require_within(limit, feedback, received_us)
            self._db.execute(
                "insert into feedback (prediction_id, system, label, source, received_at)"
                " values (?, ?, ?, ?, ?)",
                (*about, feedback.label, feedback.source, received_us),
            )
            return True

    def add_shadow_scores(self, scores: Sequence[ShadowScore]) -> None:
        """Store them in one transaction; what is there of a prediction and a version stays.

        The predictions must be in the log.
        """
        with self._writing():
            self._db.executemany(
                "insert into shadow_scores values (?, ?, ?, ?) on conflict do nothing",
                [(s.prediction_id, s.model_version, s.score, to_us(s.scored_at)) for s in scores],
            )

    def shadow_scores(
        self, system: str, start: datetime, end: datetime
    ) -> Iterator[ShadowScore]:
        """Those of predictions accepted in `[start, end)`, in that order, then by version."""
        return map(shadow_score_of, self._read(
            "select s.prediction_id, s.model_version, s.score, s.scored_at"
            " from predictions p join shadow_scores s using (prediction_id)"
            " where p.system = ? and p.accepted_at >= ? and p.accepted_at < ?"
            " order by p.accepted_at, p.event_id, s.model_version",
            system, to_us(start), to_us(end),
        ))

    def shadow_scores_on(self, prediction_id: str) -> list[ShadowScore]:
        """What shadows would have said of one prediction, by version."""
        return list(map(shadow_score_of, self._read(
            "select prediction_id, model_version, score, scored_at from shadow_scores"
            " where prediction_id = ? order by model_version", prediction_id,
        )))

    def _require_within(self, limit: FeedbackLimit, feedback: Feedback, now_us: int) -> None:
        """Raise TooOften where the source has used up its share of the window that ends now."""
        window_us = limit.window // timedelta(microseconds=1)
        oldest = self._db.execute(
            "select received_at from feedback where system = ? and source = ? and received_at > ?"
            " order by received_at desc limit 1 offset ?",
            (feedback.system, feedback.source, now_us - window_us, limit.words - 1),
        ).fetchone()
        if oldest is not None:
            free_at = from_us(oldest[0] + window_us)
            raise TooOften(
                f"source {feedback.source!r} has said {limit.words} new things about "
                f"{feedback.system!r} within {limit.window}, which is its limit; nothing was "
                f"stored. It may go on at {free_at.isoformat()}",
                free_at - from_us(now_us),
            )

    def answer_to(self, system: str, event_id: str) -> Prediction | None:
        """The answer that this event got, if it got one."""
        return next(self._predictions("system = ? and event_id = ?", system, event_id), None)

    def prediction(self, prediction_id: str) -> Prediction | None:
        return next(self._predictions("prediction_id = ?", prediction_id), None)

    def predictions(self, system: str, start: datetime, end: datetime) -> Iterator[Prediction]:
        """Those accepted in `[start, end)`, in that order."""
        return self._predictions(
            "system = ? and accepted_at >= ? and accepted_at < ? order by accepted_at, event_id",
            system, to_us(start), to_us(end),
        )

    def feedback(self, system: str, start: datetime, end: datetime) -> Iterator[Feedback]:
        """What was received in `[start, end)`, in that order."""
        return self._feedback(
            "system = ? and received_at >= ? and received_at < ?"
            " order by received_at, feedback_id", system, to_us(start), to_us(end),
        )

    def feedback_on(self, prediction_id: str) -> list[Feedback]:
        """All that was said about one prediction, in the order in which it came."""
        return list(self._feedback("prediction_id = ? order by feedback_id", prediction_id))

    def first_heard(self, prediction_id: str) -> dict[str, datetime]:
        """When each source of feedback on a prediction first spoke of any of its system's."""
        return {str(source): from_us(int(str(first))) for source, first in self._read(
            # One look at the index for each source: its words may be many.
            "select source, (select min(received_at) from feedback as any_word"
            "  where any_word.system = here.system and any_word.source = here.source)"
            " from (select distinct system, source from feedback where prediction_id = ?) as here",
            prediction_id,
        )}

    def count(self, system: str) -> tuple[int, int]:
        """(predictions, feedback) of a system."""
        predictions, feedback = (
            int(str(count))
            for table in ("predictions", "feedback")
            for (count,) in self._read(f"select count(*) from {table} where system = ?", system)
        )
        return predictions, feedback

    def answered_by(self, system: str) -> dict[int, int]:
        """How many predictions each model version has answered, by version."""
        return {int(str(version)): int(str(count)) for version, count in self._read(
            "select model_version, count(*) from predictions where system = ?"
            " group by model_version order by model_version", system,
        )}

    def _predictions(self, where: str, *arguments: object) -> Iterator[Prediction]:
        rows = self._read(f"select {COLUMNS} from predictions where {where}", *arguments)
        return map(prediction_of, rows)

    def _feedback(self, where: str, *arguments: object) -> Iterator[Feedback]:
        return map(feedback_of, self._read(
            f"select prediction_id, system, label, source, received_at from feedback where {where}",
            *arguments,
        ))

    def _read(self, query: str, *arguments: object) -> Iterator[tuple[object, ...]]:
        try:
            yield from self._db.execute(query, arguments)
        except sqlite3.Error as error:
            raise LogUnavailable(f"cannot read the event log {self.path}: {error}") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: committed when the block ends well, else undone."""
        try:
            if _identity(self.path) != self._file:
                raise LogUnavailable(
                    f"the event log {self.path} was replaced while it was open: start again"
                )
            self._db.execute("begin immediate")
            try:
                yield
                self._db.execute("commit")
            except BaseException:
                # A failed write may have ended the transaction by itself.
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise
        except LogUnavailable:
            raise
        except (sqlite3.Error, OSError) as error:
            raise LogUnavailable(f"cannot write the event log {self.path}: {error}") from error


def _identity(path: Path) -> tuple[int, int]:
    """Which file lies at `path`: device and inode."""
    found = os.stat(path)  # noqa: PTH116  (once per request: twice as fast as Path.stat)
    return found.st_dev, found.st_ino
