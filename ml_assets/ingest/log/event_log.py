"""The event log: what the API accepted and answered, and beside it what it was told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from ml_assets.core.errors import ContractViolation
from ml_assets.core.settings import Ack
from ml_assets.core.storage.database import Database, insertion
from ml_assets.core.storage.places import Place
from ml_assets.ingest.log.feedback_log import FeedbackLog
from ml_assets.ingest.log.positions import (
    VIEW_LIST,
    Load,
    PackedCounts,
    last_position,
    loads_of,
)
from ml_assets.ingest.log.served import (
    COLUMNS,
    READ,
    Feedback,
    Prediction,
    ShadowScore,
    from_us,
    list_of,
    prediction_id,
    prediction_of,
    row_of,
    to_us,
)
from ml_assets.ingest.log.shadow_log import ShadowLog
from ml_assets.ingest.log.storage.opening import open_storage
from ml_assets.ingest.log.storage.patience import Patience
from ml_assets.ingest.log.told import ToldLog

__all__ = ["Appended", "EventLog", "Feedback", "PackedCounts", "Prediction", "ShadowScore"]

INSERT = insertion("predictions", COLUMNS)

FEATURE_LIST = "insert into feature_lists values (?, ?) on conflict do nothing"


class Appended(NamedTuple):
    """stored: what the log has of each prediction that was to be appended; new: the indices of
    those that were not there before; first: the position of the first, if it is new: they follow
    each other
    """

    stored: list[Prediction]
    new: list[int]
    first: int


class EventLog:
    """Append-only store of predictions, of what was `told`, of `feedback` and scores of `shadows`:
    in a file, or in tables of a database.

    One call of an instance at a time, on whichever thread; any number of instances and processes
    may write at once. Every method raises LogUnavailable where the log cannot be read or
    written, also where its file was deleted or replaced after opening: what is written then could
    not be found again.
    """

    def __init__(
        self, place: Place, *, patience_s: float = 10, patience: Patience | None = None,
        ack: Ack = "process",
    ) -> None:
        """Open the log at `place`, or make it; wait `patience_s` for other writers.

        patience: shared with others instead, see `Patience`
        ack: what each transaction survives once it is committed, see `core.settings`
        """
        self._file = open_storage(place, patience or Patience(patience_s), ack)
        self._db = self._file.connection
        self.told = ToldLog(self._file)
        self.feedback = FeedbackLog(self._file, self.told)
        self.shadows = ShadowLog(self._file)
        self._lists: set[tuple[str, ...]] = set()
        """The feature lists that are surely in the file."""
        self._views: set[bytes] = set()
        """The lists of views that are."""

    @property
    def connection(self) -> Database:
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
        if (at := self._append_at_once(predictions, counts)) is not None:
            return Appended(list(predictions), list(range(len(predictions))), at)
        with self._file.writing():
            first, stored = self._append(predictions, counts)
        self._note(predictions, counts)
        new = [row for row, each in enumerate(predictions) if stored[row] is each]
        return Appended(stored, new, first)

    def append_new(
        self, predictions: Sequence[Prediction], counts: PackedCounts | None
    ) -> Appended | None:
        """Store all of them in one transaction, as `append_counted`; none of them, and return None,
        if the log has one of them already.

        So rows that are one answer are there as a whole, whoever else answers at that moment.
        """
        if (at := self._append_at_once(predictions, counts)) is not None:
            return Appended(list(predictions), list(range(len(predictions))), at)
        with self._file.writing():
            first, stored = self._append(predictions, counts)
            if any(there is not mine for there, mine in zip(stored, predictions, strict=True)):
                self._file.restart()
                return None
        self._note(predictions, counts)
        return Appended(stored, list(range(len(predictions))), first)

    def _note(self, predictions: Sequence[Prediction], counts: PackedCounts | None) -> None:
        """What these refer to is surely in the file."""
        self._lists.update(each.feature_names for each in predictions)
        self._views.update([counts.list_id] if counts is not None else [])

    def _append_at_once(
        self, predictions: Sequence[Prediction], counts: PackedCounts | None
    ) -> int | None:
        """The first position if all were new and what they refer to was there; else nothing was
        stored."""
        if not predictions or self._refer_to_new(predictions, counts):
            return None
        return self._file.append("predictions", COLUMNS, lambda: rows_from(1, predictions, counts))

    def _refer_to_new(
        self, predictions: Sequence[Prediction], counts: PackedCounts | None
    ) -> bool:
        return (not self._lists.issuperset(each.feature_names for each in predictions)
                or (counts is not None and counts.list_id not in self._views))

    def _append(
        self, predictions: Sequence[Prediction], counts: PackedCounts | None
    ) -> tuple[int, list[Prediction]]:
        first, rows = self._rows(predictions, counts)
        if self._file.insert("predictions", COLUMNS, rows):
            return first, list(predictions)
        first, rows = self._rows(predictions, counts)  # others may have written in between
        return first, [self._append_one(*each) for each in zip(predictions, rows, strict=True)]

    def _rows(
        self, predictions: Sequence[Prediction], counts: PackedCounts | None
    ) -> tuple[int, list[tuple[object, ...]]]:
        """The first position, and all as rows. What they refer to is stored."""
        if lists := {each.feature_names for each in predictions} - self._lists:
            self._db.executemany(FEATURE_LIST, map(list_of, lists))
        if counts is not None and counts.list_id not in self._views:
            self._db.execute(VIEW_LIST, counts[:2])
        first = last_position(self._db) + 1
        return first, rows_from(first, predictions, counts)

    def _append_one(self, p: Prediction, row: tuple[object, ...]) -> Prediction:
        try:
            added = self._db.execute(INSERT, row).rowcount
        except self._db.refusals as error:
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

    def answer_to(self, system: str, event_id: str) -> Prediction | None:
        """The answer that this event got, if it got one."""
        return self.answers_to(system, [event_id]).get(event_id)

    def answers_to(self, system: str, event_ids: Sequence[str]) -> dict[str, Prediction]:
        """The answers that these events got, by event id; those that got none are left out."""
        ids = [prediction_id(system, event_id) for event_id in event_ids]
        rows = self._file.read_each(f"select {READ} from predictions where prediction_id", ids)
        return {each.event_id: each for each in map(prediction_of, rows)}

    def prediction(self, prediction_id: str) -> Prediction | None:
        return next(self._predictions("prediction_id = ?", prediction_id), None)

    def predictions(self, system: str, start: datetime, end: datetime) -> Iterator[Prediction]:
        """Those accepted in `[start, end)`, in that order."""
        return self._predictions(
            "system = ? and accepted_at >= ? and accepted_at < ? order by accepted_at, event_id",
            system, to_us(start), to_us(end),
        )

    def predictions_after(self, system: str, after: int, until: int, most: int) -> list[Prediction]:
        """The first of a system's whose positions lie in `(after, until]`, in order."""
        # Appending nothing: see `positions`.
        return list(self._predictions(
            "seq > ? and seq <= ? and system || '' = ? order by seq limit ?",
            after, until, system, most))

    def predictions_heard_of(
        self, system: str, start: datetime, end: datetime
    ) -> Iterator[Prediction]:
        """Those that feedback received in `[start, end)` is about, in the order of ids."""
        return self._predictions(
            "prediction_id in (select prediction_id from feedback"
            " where system = ? and received_at >= ? and received_at < ?) order by prediction_id",
            system, to_us(start), to_us(end),
        )

    def loads(self, view: str, definition: str) -> list[Load]:
        """What was loaded into a view that is defined so, in the order of positions."""
        return loads_of(self._db, view, definition)

    def changes(self) -> int:
        """Another number once another connection has written. Cheap."""
        return self._file.changes()

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

    def degraded(self, system: str) -> int:
        """How many predictions of a system were answered without features of the store."""
        [(count,)] = self._file.read(
            "select count(*) from predictions where system = ? and degraded", system)
        return int(str(count))

    def answered_by(self, system: str) -> dict[int, int]:
        """How many predictions each model version has answered, by version."""
        return {int(str(version)): int(str(count)) for version, count in self._file.read(
            "select model_version, count(*) from predictions where system = ?"
            " group by model_version order by model_version", system,
        )}

    def _predictions(self, where: str, *arguments: object) -> Iterator[Prediction]:
        rows = self._file.read(f"select {READ} from predictions where {where}", *arguments)
        return map(prediction_of, rows)


def rows_from(
    first: int, predictions: Sequence[Prediction], counts: PackedCounts | None
) -> list[tuple[object, ...]]:
    """Predictions as rows, at positions from `first` on."""
    packed = [None] * len(predictions) if counts is None else counts.packed
    return [row_of(each, seq, mine) for seq, (each, mine) in
            enumerate(zip(predictions, packed, strict=True), first)]
