"""The archive's door: each record as it can be taken in, or what keeps it out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ml_assets.core.errors import InvalidRequest, Quarantined
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.source import ArchivedEvent, Request, SkippingSource, Source
from ml_assets.core.system import System
from ml_assets.core.target import Label
from ml_assets.core.texts import ID_LENGTH, name_fault, shown, storable
from ml_assets.core.time import EARLIEST, declared_instant

PLAIN, WHOLE_BITS = {str, float, bool, type(None)}, 64
"""Any value of these can become JSON, and so can a whole number of so many bits; not so every one,
of thousands of digits."""
LONGEST_RECORD = 10_000
"""Characters that are kept of a record that cannot be read as JSON."""


class Record(NamedTuple):
    """One record of an archive.

    at: when it happened; for one that does not say so, when the usable record before it did
    request: JSON
    outcome: what was true, None if nobody knows; known_at: when that became known, by the
        system's truth
    problem: why the record cannot be used, None if it can
    """

    event_id: str
    at: datetime
    request: str
    outcome: Label | None = None
    known_at: datetime | None = None
    problem: str | None = None


def records(
    system: System, history: Iterable[ArchivedEvent], *, since: datetime = EARLIEST
) -> Iterator[Record]:
    """Every record of `history`, in its order, whatever it holds.

    since: when a record without a usable instant is filed that has no usable one before it

    Of records with one id the first usable one counts.
    """
    seen: set[str] = set()
    for event in history:
        record = attempt(_record, system, event, seen)
        if isinstance(record, Fault):
            yield _unusable(event, since, record.reason)
            continue
        seen.add(record.event_id)
        since = record.at
        yield record


def usable(system: System, history: Iterable[ArchivedEvent]) -> Iterator[ArchivedEvent]:
    """The events of `history` that can be used: instants in UTC, outcomes as labels."""
    seen: set[str] = set()
    for event in history:
        record = attempt(_checked, system, event, seen)
        if not isinstance(record, Fault) and _is_json(event.request):
            seen.add(record.event_id)
            yield _with(event, record.at, record.outcome,
                        None if event.known_at is None else record.known_at)


def usable_since(
    system: System, source: Source, fetched: Path, since: datetime
) -> Iterator[ArchivedEvent]:
    """The usable events of `source` that happened from `since` on. Earlier ones cost as little as
    the source allows, and their ids are not looked at.
    """
    history = (source.archive_since(fetched, since) if isinstance(source, SkippingSource)
               else source.archive(fetched))
    # Instants are only known to be sound once an event is usable; ids count from `since` on.
    return usable(system, (event for event in history if not _before(event, since)))


def _before(event: ArchivedEvent, since: datetime) -> bool:
    at: object = event.event_timestamp
    return isinstance(at, datetime) and at.tzinfo is not None and at < since


def _record(system: System, event: ArchivedEvent, seen: set[str]) -> Record:
    """Raises Quarantined, or whatever its request does when it becomes JSON."""
    event_id, at, _, outcome, known_at, _ = _checked(system, event, seen)
    return Record(event_id, at, _written(event.request), outcome, known_at)


def _written(request: Request) -> str:
    return json.dumps(request if type(request) is dict else dict(request))


def _is_json(request: Request) -> bool:
    """Whether a request can become JSON, which most need not be made for that."""
    return ({type(key) for key in request} <= {str} and all(map(_is_plain, request.values()))
            ) or not isinstance(attempt(_written, request), Fault)


def _is_plain(value: object) -> bool:
    return type(value) in PLAIN or (type(value) is int and value.bit_length() <= WHOLE_BITS)


def _checked(system: System, event: ArchivedEvent, seen: set[str]) -> Record:
    """All but the request. Raises Quarantined."""
    if event.problem is not None:
        raise Quarantined(event.problem)
    event_id: object = event.event_id
    if not isinstance(event_id, str) or not event_id:
        raise Quarantined(f"event_id is {shown(event_id)}; expected a text that is not empty")
    if (fault := name_fault(event_id, ID_LENGTH)) is not None:
        raise Quarantined(f"event_id: {fault}")
    if event_id in seen:
        raise Quarantined(f"event_id {shown(event_id)} was there before; an event counts once")
    at = _instant("event_timestamp", event.event_timestamp)
    request: object = event.request
    if not isinstance(request, Mapping):
        raise Quarantined(f"request is {shown(request)}; expected a JSON object")
    outcome, known_at = _outcome(system, event, at)
    return Record(event_id, at, "", outcome, known_at)


def _outcome(
    system: System, event: ArchivedEvent, at: datetime
) -> tuple[Label, datetime] | tuple[None, None]:
    """What was true of an event that happened `at`, and when that became known.

    Raises Quarantined: 37.5 is not True, and nothing is known before it happened. Of an outcome
    that is known later than the truth allows, silence would have said something else before.
    """
    if event.outcome is None:
        return None, None
    try:
        outcome = system.target.label(event.outcome)
    except InvalidRequest as error:
        raise Quarantined(f"outcome: {error}") from None
    own = None if event.known_at is None else _instant("known_at", event.known_at)
    known_at = system.truth.known_at(_with(event, at, outcome, own))
    if known_at is None:
        raise Quarantined("the outcome is known, but not since when: known_at is None; expected "
                          f"an instant, because {system.truth.says}")
    if not at <= known_at <= at + system.truth.maturity:
        raise Quarantined(
            f"known_at is {known_at.isoformat()} of an event at {at.isoformat()}; expected an "
            f"instant from then on, at most {system.truth.maturity} later, as the system's truth "
            "declares")
    return outcome, known_at


def _with(
    event: ArchivedEvent, at: datetime, outcome: Label | None, known_at: datetime | None
) -> ArchivedEvent:
    """The event itself if it holds these already, as nearly all do: a copy costs as much as all
    checks of a record."""
    if event.event_timestamp is at and event.outcome is outcome and event.known_at is known_at:
        return event
    return replace(event, event_timestamp=at, outcome=outcome, known_at=known_at)


def _instant(name: str, declared: datetime) -> datetime:
    try:
        return declared_instant(declared)
    except InvalidRequest as error:
        raise Quarantined(f"{name}: {error}") from None


def _unusable(event: object, at: datetime, problem: str) -> Record:
    """As much as can be kept of it."""
    origin = str(getattr(event, "origin", ""))
    if origin:
        problem = f"{origin}: {problem}"
    event_id, request = getattr(event, "event_id", None), getattr(event, "request", None)
    named = isinstance(event_id, str) and event_id and name_fault(event_id, ID_LENGTH) is None
    texts = (attempt(json.dumps, request), attempt(repr, request), "")
    request_text = next(text for text in texts if isinstance(text, str))
    return Record(
        event_id=str(event_id) if named else origin or shown(event_id), at=at,
        request=storable(request_text, LONGEST_RECORD), problem=problem,
    )
