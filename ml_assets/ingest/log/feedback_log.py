"""What is said of predictions: feedback, each word of it kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from ml_assets.core.errors import TooOften, UnknownName
from ml_assets.core.feedback import FeedbackLimit
from ml_assets.ingest.log.served import (
    Feedback,
    feedback_of,
    from_us,
    restored_label,
    stored_label,
    to_us,
)
from ml_assets.ingest.log.storage.log_storage import LogStorage
from ml_assets.ingest.log.told import ToldEvent, ToldLog

COLUMNS = "prediction_id, system, label, source, received_at"

Settles = Callable[[int], ToldEvent | None]
"""Given when the word was received (microseconds since 1970 UTC), the label that it settles."""


class FeedbackLog:
    """The feedback on all systems' predictions, in the file of the event log."""

    def __init__(self, file: LogStorage, told: ToldLog) -> None:
        self._file, self._db, self._told = file, file.connection, told

    def add(
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
                f"insert into feedback ({COLUMNS}) values (?, ?, ?, ?, ?)",
                (*about, stored_label(feedback.label), feedback.source, received_us),
            )
            if settles is not None and (known := settles(received_us)) is not None:
                self._told.add(known)
            return True

    def _latest_word(self, prediction_id: str) -> int:
        """When the latest word about this prediction was received; 0 before the first."""
        found = self._db.execute(
            "select received_at from feedback where prediction_id = ?"
            " order by feedback_id desc limit 1", (prediction_id,),
        ).fetchone()
        return 0 if found is None else int(found[0])

    def between(self, system: str, start: datetime, end: datetime) -> Iterator[Feedback]:
        """What was received in `[start, end)`, in that order."""
        return self._read(
            "system = ? and received_at >= ? and received_at < ?"
            " order by received_at, feedback_id", system, to_us(start), to_us(end),
        )

    def on(self, prediction_id: str) -> list[Feedback]:
        """All that was said about one prediction, in the order in which it came."""
        return list(self._read("prediction_id = ? order by feedback_id", prediction_id))

    def on_each(self, prediction_ids: Sequence[str]) -> list[Feedback]:
        """All that was said about any of these, in the order in which it came."""
        rows = self._file.read_each(
            f"select feedback_id, {COLUMNS} from feedback where prediction_id", prediction_ids)
        return [feedback_of(tuple(row)) for _, *row in sorted(
            rows, key=lambda row: int(str(row[0])))]

    def after(self, prediction_id: str, feedback_id: int) -> list[tuple[int, Feedback]]:
        """What was said about one prediction since the word of this id; all of it since 0.

        With their ids, in the order in which they came: one look at an index, however many
        there are before.
        """
        return [(int(str(number)), feedback_of(tuple(row))) for number, *row in self._file.read(
            f"select feedback_id, {COLUMNS} from feedback"
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

    def _read(self, where: str, *arguments: object) -> Iterator[Feedback]:
        return map(feedback_of, self._file.read(
            f"select {COLUMNS} from feedback where {where}", *arguments))
