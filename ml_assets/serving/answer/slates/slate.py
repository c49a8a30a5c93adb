"""A slate: the rows that a request to rank was answered with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from ml_assets.core.errors import UnknownName
from ml_assets.core.slates import split
from ml_assets.core.system import System
from ml_assets.core.texts import key_text, shown
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.ingest.log.slates import slate_of
from ml_assets.ingest.posted import read_json
from ml_assets.serving.answer.intake.admission import EventRefused

MOST_NAMED = 20
"""Items that a refusal lists."""


class RankRequest(Struct, frozen=True, kw_only=True):
    """Who asks and in which context, as it was posted.

    event: JSON, in UTF-8 if it is sound, without the item's column
    event_timestamp: when it happened, with a time zone; None for now
    candidates: the items to choose from; None for those that are kept
    n: how many items to show; None for a page
    """

    event: bytes
    event_id: str | None = None
    event_timestamp: datetime | None = None
    candidates: Sequence[object] | None = None
    n: int | None = None


class Slate(NamedTuple):
    """rows, items: (n) what was shown, in the order of positions, as it is in the log."""

    request_id: str
    rows: Sequence[Prediction]
    items: Sequence[object]

    @classmethod
    def of(cls, item: str, rows: Sequence[Prediction]) -> Slate:
        """Of rows of the log. item: the column that says what was shown"""
        parts = split(rows[0].event_id)
        assert parts is not None, "a row of a slate has the id of one"
        return cls(parts[0], rows, [read_json(row.request)[item] for row in rows])


def logged_slate(log: EventLog, system: System, slate: str) -> Slate:
    """The slate of this id. Raises UnknownName if the system has answered with none such."""
    policy = system.target.slates
    rows = None if policy is None else slate_of(log, system.name, slate)
    if policy is None or rows is None:
        raise UnknownName(f"system {system.name!r} has answered with no slate {slate!r}; use the "
                          "`prediction_id` of an answer")
    return Slate.of(policy.item, rows)


def row_about(log: EventLog, system: System, slate: str, item: object) -> str:
    """The prediction id of the row of a slate that showed `item`.

    Raises UnknownName if there is no such slate, EventRefused if it did not show the item.
    """
    found = logged_slate(log, system, slate)
    for row, each in zip(found.rows, found.items, strict=True):
        # Keys are compared as texts wherever they are: 17 and "17" name one entity.
        if not isinstance(item, bool) and key_text(each) == key_text(item):
            return row.prediction_id
    shown_items = ", ".join(shown(each) for each in found.items[:MOST_NAMED])
    more = len(found.items) - MOST_NAMED
    raise EventRefused(
        "not_shown", f"{slate!r} did not show the item {shown(item)}; it showed {shown_items}"
        f"{f' and {more} more' if more > 0 else ''}", "item")
