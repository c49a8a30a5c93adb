"""Slates as they lie in the event log: a row for each item shown, all of one transaction.

The rows of a request are found by their ids, so the log needs no table of slates and no index.
"""

from __future__ import annotations

from collections.abc import Sequence

from ml_assets.core.slates import LARGEST_SLATE, row_id, split
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.ingest.log.served import prediction_id

PREFIX = "slate-"
"""What the id of a slate begins with; the id of its first row follows."""
ASKED_AT_ONCE = 50
"""Positions that are looked for at once: most pages have fewer."""


def slate_id(system: str, request_id: str) -> str:
    """The prediction id of a whole slate, one for each request."""
    return PREFIX + prediction_id(system, row_id(request_id, 1))


def is_slate_id(name: str) -> bool:
    """Whether it is the id of a slate: those of rows and of other predictions are hex digits."""
    return name.startswith(PREFIX)


def slates_of(
    log: EventLog, system: str, request_ids: Sequence[str]
) -> dict[str, list[Prediction]]:
    """The rows that these requests were answered with, in the order of positions.

    Requests that have no answer are left out: each costs one look at an index.
    """
    firsts = log.answers_to(system, [row_id(each, 1) for each in request_ids])
    return {request: [first, *_others(log, system, request)] for request in request_ids
            if (first := firsts.get(row_id(request, 1))) is not None}


def slate_of(log: EventLog, system: str, slate: str) -> list[Prediction] | None:
    """The rows of the slate of this id, in the order of positions; None if there is none."""
    if not is_slate_id(slate):
        return None
    first = log.prediction(slate.removeprefix(PREFIX))
    if first is None or first.system != system:
        return None
    request, position = split(first.event_id) or ("", 0)
    return [first, *_others(log, system, request)] if position == 1 else None


def _others(log: EventLog, system: str, request_id: str) -> list[Prediction]:
    """The rows after the first: they are all there, or none is."""
    rows: list[Prediction] = []
    for start in range(2, LARGEST_SLATE + 1, ASKED_AT_ONCE):
        ids = [row_id(request_id, start + offset) for offset in range(ASKED_AT_ONCE)]
        found = log.answers_to(system, ids)
        rows += [found[each] for each in ids if each in found]
        if len(found) < ASKED_AT_ONCE:
            break
    return rows
