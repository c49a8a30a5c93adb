"""The archive's door: each record as it can be taken in, or what keeps it out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from ml_assets.core.errors import InvalidRequest, Quarantined
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.texts import ID_LENGTH, name_fault, shown, storable
from ml_assets.core.time import EARLIEST, declared_instant

LONGEST_RECORD = 10_000
"""Characters that are kept of a record that cannot be read as JSON."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record of an archive.

    at: when it happened; for one that does not say so, when the usable record before it did
    request: JSON; problem: why it cannot be used, None if it can
    """

    event_id: str
    at: datetime
    request: str
    outcome: bool | None
    problem: str | None = None


def records(
    history: Iterable[ArchivedEvent], *, since: datetime = EARLIEST
) -> Iterator[Record]:
    """Every record of `history`, in its order, whatever it holds.

    since: when a record without a usable instant is filed that has no usable one before it

    Of records with one id the first usable one counts.
    """
    seen: set[str] = set()
    for event in history:
        record = attempt(_record, event, seen)
        if isinstance(record, Fault):
            yield _unusable(event, since, record.reason)
            continue
        seen.add(record.event_id)
        since = record.at
        yield record


def usable(history: Iterable[ArchivedEvent]) -> Iterator[ArchivedEvent]:
    """The events of `history` that can be used, their instants in UTC."""
    seen: set[str] = set()
    for event in history:
        record = attempt(_record, event, seen)
        if not isinstance(record, Fault):
            seen.add(record.event_id)
            yield replace(event, event_timestamp=record.at, outcome=record.outcome)


def _record(event: ArchivedEvent, seen: set[str]) -> Record:
    """Raises Quarantined, or whatever its request does when it becomes JSON."""
    if event.problem is not None:
        raise Quarantined(event.problem)
    event_id: object = event.event_id
    if not isinstance(event_id, str) or not event_id:
        raise Quarantined(f"event_id is {shown(event_id)}; expected a text that is not empty")
    if (fault := name_fault(event_id, ID_LENGTH)) is not None:
        raise Quarantined(f"event_id: {fault}")
    if event_id in seen:
        raise Quarantined(f"event_id {shown(event_id)} was there before; an event counts once")
    try:
        at = declared_instant(event.event_timestamp)
    except InvalidRequest as error:
        raise Quarantined(f"event_timestamp: {error}") from None
    request: object = event.request
    if not isinstance(request, Mapping):
        raise Quarantined(f"request is {shown(request)}; expected a JSON object")
    return Record(event_id=event_id, at=at, request=json.dumps(dict(request)),
                  outcome=truth(event.outcome))


def truth(outcome: object) -> bool | None:
    """`outcome` if it is one. Raises Quarantined: 37.5 is not True, and a missing one is None."""
    if outcome is None or isinstance(outcome, bool):
        return outcome
    if isinstance(outcome, np.bool_):
        return bool(outcome)
    raise Quarantined(f"outcome is {shown(outcome)}; expected True, False or None")


def _unusable(event: object, at: datetime, problem: str) -> Record:
    """As much as can be kept of it."""
    if origin := getattr(event, "origin", ""):
        problem = f"{origin}: {problem}"
    event_id, request = getattr(event, "event_id", None), getattr(event, "request", None)
    named = isinstance(event_id, str) and event_id and name_fault(event_id, ID_LENGTH) is None
    texts = (attempt(json.dumps, request), attempt(repr, request), "")
    request_text = next(text for text in texts if isinstance(text, str))
    return Record(
        event_id=str(event_id) if named else shown(event_id), at=at,
        request=storable(request_text, LONGEST_RECORD), outcome=None, problem=problem,
    )
