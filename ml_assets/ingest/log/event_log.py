"""The event log: what the API accepted and answered or was told, shadows' scores, and feedback."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from ml_assets.core.errors import ContractViolation, TooOften, UnknownName
from ml_assets.core.feedback import FeedbackLimit
from ml_assets.core.settings import Ack
from ml_assets.core.storage.sqlite import padded
from ml_assets.ingest.log.log_file import LogFile
from ml_assets.ingest.log.patience import Patience
from ml_assets.ingest.log.positions import Load, PackedCounts, last_position, loads_of
from ml_assets.ingest.log.served import (
    COLUMNS,
    READ,
    Feedback,
    Prediction,
    ShadowScore,
    feedback_of,
    from_us,
    list_of,
    prediction_id,
    prediction_of,
    restored_label,
    row_of,
    shadow_score_of,
    stored_label,
    stored_outputs,
    to_us,
)
from ml_assets.ingest.log.told import ToldEvent, ToldLog

__all__ = ["Appended", "EventLog", "Feedback", "PackedCounts", "Prediction", "ShadowScore"]

INSERT = (f"insert into predictions ({COLUMNS})"
          f" values ({', '.join('?' * len(COLUMNS.split(',')))}) on conflict do nothing")
_ASKED_AT_ONCE = 256


Settles = Callable[[int], ToldEvent | None]
"""Given when the word was received (microseconds since 1970 UTC), the label that it settles."""


class Appended(NamedTuple):
    """stored: what the log has of each prediction that was to be appended; new: the indices of
    those that were not there before; first: the position of the first, if it is new: they follow
    each other
    """

    stored: list[Prediction]
    new: list[int]
    first: int


class EventLog:
    """Append-only store of predictions, shadow scores and feedback, and of what was `told`.

    One call of an instance at a time, on whichever thread; any number of instances and processes
    may write at once. Every method raises LogUnavailable where the file cannot be read or
    written, also where it was deleted or replaced after opening: what is written then could not
    be found again.
    """

    def __init__(
        self, path: Path, *, patience_s: float = 10, patience: Patience | None = None,
        ack: Ack = "process",
    ) -> None:
        """Open `path`, creating it if it is missing; wait `patience_s` for other writers.

        patience: shared with others instead, see `Patience`
        ack: what each transaction survives once it is committed, see `core.settings`
        """
        self._file = LogFile(path, patience=patience or Patience(patience_s), ack=ack)
        self._db = self._file.connection
        self.told = ToldLog(self._file)
        self._lists: set[tuple[str, ...]] = set()
        """The feature lists that are surely in the file."""
        self._views: set[bytes] = set()
        """The lists of views that are."""

    @property
    def connection(self) -> sqlite3.Connection:
        """For what else lies in the file, in the same transactions."""
        return self._db

    def wait(self, waits: bool) -> None:
        """Whether to wait for other writers from now on; else a write may raise LogBusy."""
        self._file.waits = waits

    def close(self) -> None:
        self._file.close()

    def check(self) -> None:
        """Prove by a write that predictions can be logged. Raises LogUnavailable."""
        self._file.check()

    def append(
        self, predictions: Sequence[Prediction], counts: PackedCounts | None = None
    ) -> list[Prediction]:
        """Store all of them in one transaction, or none; return what is stored for each."""
        return self.append_counted(predictions, counts).stored

    def append_counted(
        self, predictions: Sequence[Prediction], counts: PackedCounts | None
    ) -> Appended:
        """Store all of them in one transaction, or none, each at a position of its own.

        An event that is already there keeps its first answer, and this is returned for it: that
        the log has one row for an event is what makes it count once.
        counts: what the online state counts of each; None if nobody knows the views, and then it
        is found out from the requests later
        Raises ContractViolation where a prediction cannot be stored as it is.
        """
        with self._file.writing():
            first, stored = self._append(predictions, counts)
        self._lists.update(each.feature_names for each in predictions)
        self._views.update([counts.list_id] if counts is not None else [])
        new = [row for row, each in enumerate(predictions) if stored[row] is each]
        return Appended(stored, new, first)

    def _append(
        self, predictions: Sequence[Prediction], counts: PackedCounts | None
    ) -> tuple[int, list[Prediction]]:
        first, rows = self._rows(predictions, counts)
        try:
            if self._db.executemany(INSERT, rows).rowcount == len(rows):
                return first, list(predictions)
        except sqlite3.IntegrityError:
            pass  # one of them; which, is found below
        # Nothing else was written yet. A savepoint would have SQLite copy each page.
        self._file.restart()
        first, rows = self._rows(predictions, counts)  # others may have written in between
        return first, [self._append_one(*each) for each in zip(predictions, rows, strict=True)]

    def _rows(
        self, predictions: Sequence[Prediction], counts: PackedCounts | None
    ) -> tuple[int, list[tuple[object, ...]]]:
        """The first position, and all as rows. What they refer to is stored."""
        if lists := {each.feature_names for each in predictions} - self._lists:
            self._db.executemany(
                "insert or ignore into feature_lists values (?, ?)", map(list_of, lists)
            )
        if counts is not None and counts.list_id not in self._views:
            self._db.execute("insert or ignore into view_lists values (?, ?)", counts[:2])
        first = last_position(self._db) + 1
        packed = [None] * len(predictions) if counts is None else counts.packed
        return first, [row_of(each, first + row, mine) for row, (each, mine) in
                       enumerate(zip(predictions, packed, strict=True))]

    def _append_one(self, p: Prediction, row: tuple[object, ...]) -> Prediction:
        try:
            added = self._db.execute(INSERT, row).rowcount
        except sqlite3.IntegrityError as error:
            raise ContractViolation(
                f"the prediction for event {p.event_id!r} of {p.system!r} (score {p.score}) "
                f"cannot be logged: {error}"
            ) from error
        if added:
            return p
        first = self.prediction(p.prediction_id)
        if first is None or (first.system, first.event_id) != (p.system, p.event_id):
            raise ContractViolation(
                f"the prediction for event {p.event_id!r} of {p.system!r} cannot be logged: its "
                f"id {p.prediction_id!r} belongs to another event"
            )
        return first

    def add_feedback(
        self, feedback: Feedback, *, limit: FeedbackLimit | None = None,
        settles: Settles | None = None,
    ) -> bool:
        """Store it; False where it is what this source said of this prediction last.

        A source may change its mind, and back; a repetition changes nothing. What it says
        later is known later, by a microsecond at least, whatever the clock does. No word about a
        prediction is known before those that came before it.
        limit: how much its source may say; a repetition is no new word
        settles: asked once the word is stored, in the same transaction, what it makes known:
            that is told with it, or neither is stored

        Raises UnknownName where the system has made no such prediction, TooOften beyond the
        limit. Of racing calls, in any number of processes, one comes first.
        """
        about = (feedback.prediction_id, feedback.system)
        with self._file.writing():
            if not self._db.execute(
                "select 1 from predictions where prediction_id = ? and system = ?", about
            ).fetchone():
                raise UnknownName(
                    f"system {feedback.system!r} has made no prediction "
                    f"{feedback.prediction_id!r}; use the `prediction_id` of an answer"
                )
            last = self._db.execute(
                "select label from feedback where prediction_id = ? and source = ?"
                " order by feedback_id desc limit 1", (feedback.prediction_id, feedback.source),
            ).fetchone()
            received_us = max(to_us(feedback.received_at), self._latest_word(about[0]) + 1)
            if last is not None and restored_label(last[0]) == feedback.label:
                return False
            if limit is not None:
                self._require_within(limit, feedback, received_us)
            self._db.execute(
                "insert into feedback (prediction_id, system, label, source, received_at)"
                " values (?, ?, ?, ?, ?)",
                (*about, stored_label(feedback.label), feedback.source, received_us),
            )
            if settles is not None and (known := settles(received_us)) is not None:
                self.told.add(known)
            return True

    def _latest_word(self, prediction_id: str) -> int:
        """When the latest word about this prediction was received; 0 before the first."""
        found = self._db.execute(
            "select received_at from feedback where prediction_id = ?"
            " order by feedback_id desc limit 1", (prediction_id,),
        ).fetchone()
        return 0 if found is None else int(found[0])

    def add_shadow_scores(self, scores: Sequence[ShadowScore]) -> None:
        """Store them in one transaction; what is there of a prediction and a version stays.

        The predictions must be in the log.
        """
        with self._file.writing():
            self._db.executemany(
                "insert into shadow_scores"
                " (prediction_id, model_version, score, scored_at, outputs)"
                " values (?, ?, ?, ?, ?) on conflict do nothing",
                [(s.prediction_id, s.model_version, s.score, to_us(s.scored_at),
                  stored_outputs(s.outputs)) for s in scores],
            )

    def shadow_scores(
        self, system: str, start: datetime, end: datetime
    ) -> Iterator[ShadowScore]:
        """Those of predictions accepted in `[start, end)`, in that order, then by version."""
        return map(shadow_score_of, self._file.read(
            "select s.prediction_id, s.model_version, s.score, s.scored_at, s.outputs"
            " from predictions p join shadow_scores s using (prediction_id)"
            " where p.system = ? and p.accepted_at >= ? and p.accepted_at < ?"
            " order by p.accepted_at, p.event_id, s.model_version",
            system, to_us(start), to_us(end),
        ))

    def shadow_scores_on(self, prediction_id: str) -> list[ShadowScore]:
        """What shadows would have said of one prediction, by version."""
        return list(map(shadow_score_of, self._file.read(
            "select prediction_id, model_version, score, scored_at, outputs from shadow_scores"
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
        return self.answers_to(system, [event_id]).get(event_id)

    def answers_to(self, system: str, event_ids: Sequence[str]) -> dict[str, Prediction]:
        """The answers that these events got, by event id; those that got none are left out."""
        found = {}
        for start in range(0, len(event_ids), _ASKED_AT_ONCE):
            some = event_ids[start : start + _ASKED_AT_ONCE]
            size = padded(len(some))
            for each in self._predictions(
                f"prediction_id in ({', '.join('?' * size)})",
                *[prediction_id(system, event_id) for event_id in some],
                *[None] * (size - len(some)),
            ):
                found[each.event_id] = each
        return found

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

    def predictions_heard_of(
        self, system: str, start: datetime, end: datetime
    ) -> Iterator[Prediction]:
        """Those that feedback received in `[start, end)` is about, in the order of ids."""
        return self._predictions(
            "prediction_id in (select prediction_id from feedback"
            " where system = ? and received_at >= ? and received_at < ?) order by prediction_id",
            system, to_us(start), to_us(end),
        )

    def feedback_on(self, prediction_id: str) -> list[Feedback]:
        """All that was said about one prediction, in the order in which it came."""
        return list(self._feedback("prediction_id = ? order by feedback_id", prediction_id))

    def words_after(
        self, prediction_id: str, feedback_id: int
    ) -> list[tuple[int, Feedback]]:
        """What was said about one prediction since the word of this id; all of it since 0.

        With their ids, in the order in which they came: one look at an index, however many
        there are before.
        """
        return [(int(str(number)), feedback_of(tuple(row))) for number, *row in self._file.read(
            "select feedback_id, prediction_id, system, label, source, received_at from feedback"
            " where prediction_id = ? and feedback_id > ? order by feedback_id",
            prediction_id, feedback_id,
        )]

    def first_word(self, system: str, source: str) -> datetime | None:
        """When this source first spoke of any prediction of the system; None if it has not."""
        [(first,)] = self._file.read(
            "select min(received_at) from feedback where system = ? and source = ?",
            system, source)
        return None if first is None else from_us(int(str(first)))

    def first_heard(self, prediction_id: str) -> dict[str, datetime]:
        """When each source of feedback on a prediction first spoke of any of its system's."""
        return {str(source): from_us(int(str(first))) for source, first in self._file.read(
            # One look at the index for each source: its words may be many.
            "select source, (select min(received_at) from feedback as any_word"
            "  where any_word.system = here.system and any_word.source = here.source)"
            " from (select distinct system, source from feedback where prediction_id = ?) as here",
            prediction_id,
        )}

    def loads(self, view: str, definition: str) -> list[Load]:
        """What was loaded into a view that is defined so, in the order of positions."""
        return loads_of(self._db, view, definition)

    def changes(self) -> int:
        """Another number once another connection has changed the file. Costs microseconds."""
        [(version,)] = self._file.read("pragma data_version")
        return int(str(version))

    def latest(self, system: str) -> datetime | None:
        """The latest instant at which anything came in; None before the first."""
        # One look at an index each.
        found = [us for table, column in (("predictions", "accepted_at"),
                                          ("feedback", "received_at"))
                 for (us,) in self._file.read(
                     f"select max({column}) from {table} where system = ?", system)]
        found += [us for stream in self.told.streams(system) for (us,) in self._file.read(
            "select max(accepted_at) from told where system = ? and stream = ?", system, stream)]
        return max((from_us(int(str(us))) for us in found if us is not None), default=None)

    def count(self, system: str) -> tuple[int, int]:
        """(predictions, feedback) of a system."""
        predictions, feedback = (
            int(str(count))
            for table in ("predictions", "feedback")
            for (count,) in self._file.read(
                f"select count(*) from {table} where system = ?", system
            )
        )
        return predictions, feedback

    def answered_by(self, system: str) -> dict[int, int]:
        """How many predictions each model version has answered, by version."""
        return {int(str(version)): int(str(count)) for version, count in self._file.read(
            "select model_version, count(*) from predictions where system = ?"
            " group by model_version order by model_version", system,
        )}

    def _predictions(self, where: str, *arguments: object) -> Iterator[Prediction]:
        rows = self._file.read(f"select {READ} from predictions where {where}", *arguments)
        return map(prediction_of, rows)

    def _feedback(self, where: str, *arguments: object) -> Iterator[Feedback]:
        return map(feedback_of, self._file.read(
            f"select prediction_id, system, label, source, received_at from feedback where {where}",
            *arguments,
        ))
