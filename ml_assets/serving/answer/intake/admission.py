"""Which requests become events: parsed, within the contract, not from the future, not changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from math import inf
from uuid import uuid4

from msgspec import Struct

from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import InvalidRequest, Quarantined
from ml_assets.core.runtime.isolation import LONGEST_REASON
from ml_assets.core.slates import request_fault
from ml_assets.core.source import Event, GuardedSource
from ml_assets.core.system import System
from ml_assets.core.texts import KEY_LENGTH, is_text, name_fault, shown, storable
from ml_assets.core.time import FUTURE, declared_instant
from ml_assets.ingest.contracts.rows import Contract
from ml_assets.ingest.contracts.values import LARGEST
from ml_assets.ingest.log.event_log import Prediction
from ml_assets.ingest.log.told import ToldEvent
from ml_assets.ingest.posted import read_json

NO_LIMITS: Mapping[str, float] = {}
EXACT = 2**53
"""Whole numbers up to this size are exact as float64."""
MAX_DEPTH = 64
"""How deep an event may be nested. Python's own limit depends on who calls: what we accept near
it, ingestion might not."""


class EventRequest(Struct, frozen=True, kw_only=True):
    """One event to predict, as it was posted.

    event: JSON, in UTF-8 if it is sound
    event_timestamp: when it happened, with a time zone; None for now
    """

    event: bytes
    event_id: str | None = None
    event_timestamp: datetime | None = None


class EventRefused(InvalidRequest):
    """An event that gets no prediction.

    Its arguments are (code, message, field), so that it survives pickling.
    """

    def __init__(self, code: str, message: str, field: str) -> None:
        super().__init__(code, message, field)
        self.code, self.message, self.field = code, message, field

    def __str__(self) -> str:
        return self.message


class Admitted(Struct, frozen=True, kw_only=True):
    """A request that can be answered: the event parsed, its id and instant decided."""

    request: EventRequest
    posted: str
    event: Event
    event_id: str
    at: datetime


class Admission:
    """Lets the events of one stream in, and says of all others which field keeps them out."""

    def __init__(self, system: System, stream: Stream | None = None) -> None:
        """stream: the one that predictions are made for, unless it is given"""
        self._stream = stream or system.asked
        source = self._stream.source
        self._guard = source if isinstance(source, GuardedSource) else None
        self._contract = Contract.of(system, self._stream)
        columns, keys = self._contract.columns, self._contract.keys
        plain = [each for each in columns if not (each.optional or each.many)]
        self._numbers = [
            (column.name, -LARGEST if column.minimum is None else max(column.minimum, -LARGEST),
             LARGEST if column.maximum is None else min(column.maximum, LARGEST))
            for column in plain if column.dtype == "number"
        ]
        texts = [(column.name, inf if column.max_length is None else column.max_length)
                 for column in plain if column.dtype == "text"]
        self._texts = [each for each in texts if each[0] not in keys]
        self._names = [(name, int(min(longest, KEY_LENGTH))) for name, longest in texts
                       if name in keys]
        self._others = len(columns) - len(self._numbers) - len(texts)
        # Else an event could have the id that a row of a slate will have.
        self._id_fault = None if system.target.slates is None or stream else request_fault

    def admit(
        self, request: EventRequest, now: datetime, *, clock: datetime | None = None,
        limits: Mapping[str, float] = NO_LIMITS,
    ) -> Admitted:
        """The request as an event at its instant. Raises EventRefused, naming the field.

        now: the event's instant if the request names none
        clock: what the clock says, if that is not `now`; nothing happens long after it
        limits: of columns that features read as numbers: how large a value may not be
        """
        at = now if request.event_timestamp is None else _declared(request.event_timestamp)
        clock = now if clock is None else clock
        if at - clock > FUTURE and request.event_timestamp is not None:
            raise EventRefused(
                "event_in_the_future",
                f"event_timestamp is {at.isoformat()}, more than {FUTURE.seconds} s after this "
                f"system's clock, {clock.isoformat()}",
                "event_timestamp",
            )
        if self._id_fault is not None and request.event_id is not None and (
                fault := self._id_fault(request.event_id)) is not None:
            raise EventRefused("invalid_request", f"event_id: {fault}", "event_id")
        try:
            posted = str(request.event, "utf-8")
            event = self.read(posted)
            for name, limit in limits.items():
                require_below(limit, name, event.get(name))
        except (Quarantined, UnicodeDecodeError) as error:
            reason = storable(str(error), LONGEST_REASON)
            raise EventRefused("unusable_event", reason, "event") from None
        return Admitted(request=request, posted=posted, event=event, at=at,
                        event_id=request.event_id or uuid4().hex)

    def read(self, posted: str) -> Event:
        """The columns of the event in `posted`, a JSON object.

        What this accepts, ingestion accepts too: the same parser on the same text, and the same
        data contract. Raises Quarantined with the reason if it cannot become an event.
        """
        request = read_object(posted)
        # As deep as it has brackets, at most: nearly all events need no closer look.
        if posted.count("{") + posted.count("[") > MAX_DEPTH and _depth(request) > MAX_DEPTH:
            raise Quarantined(f"the event is nested more than {MAX_DEPTH} deep")
        if self._guard is not None:
            self._guard.require_known(request)
        try:
            event = self._stream.source.parse(request)
        except OverflowError as error:  # a whole number of 400 digits is JSON, and no float
            raise Quarantined(
                f"the event has a number beyond what can be computed: {error}"
            ) from error
        return event if self._is_sound(event) else self._contract.event(event)

    def _is_sound(self, event: Event) -> bool:
        """Whether nothing at all is wrong with it, in a third of the time that finding out takes.

        False too if it is sound but of unusual types, or has columns that take a closer look.
        """
        if self._others:
            return False
        for name, least, most in self._numbers:
            value = event.get(name)
            # NaN is within no bounds.
            if type(value) is not float or not least <= value <= most:
                return False
        for name, longest in self._texts:
            value = event.get(name)
            if type(value) is not str or len(value) > longest or not is_text(value):
                return False
        for name, longest in self._names:
            value = event.get(name)
            if type(value) is not str or name_fault(value, longest) is not None:
                return False
        return True


def read_object(posted: str) -> dict[str, object]:
    """The JSON object in `posted`. Raises Quarantined if it holds none."""
    try:
        request = read_json(posted)
    except (ValueError, RecursionError) as error:
        raise Quarantined(f"the event cannot be read as JSON: {error}") from error
    if not isinstance(request, dict):
        raise Quarantined(f"the event is {shown(posted)}; expected a JSON object")
    return request


def require_below(limit: float, name: str, value: object) -> None:
    """Raise Quarantined if features could not read `value` exactly."""
    if isinstance(value, float | int) and abs(value) >= limit:
        raise Quarantined(f"{name} is {value:g}; expected less than {limit:g} in size, so that "
                          "features sum it exactly")
    if isinstance(value, int) and abs(value) > EXACT:
        raise Quarantined(f"{name} is {value}; expected at most 2**53 in size, as features read it "
                          "as a float64")


def _depth(value: object) -> int:
    """How deep lists and objects lie in each other: 1 if they hold none."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [child for each in level
                 for child in (each.values() if isinstance(each, dict) else each)]
    return depth


def require_same(first: Prediction | ToldEvent, request: EventRequest) -> None:
    """Raise EventRefused if `request` uses the id of an event that was another one."""
    if isinstance(first, ToldEvent):
        was, see = "taken in", ""
    else:
        was, see = "answered", f". See /v1/{first.system}/predictions/{first.prediction_id}"
    posted = request.event.decode("utf-8", "replace")
    if posted != first.request and _canonical(posted) != _canonical(first.request):
        raise EventRefused(
            "event_changed",
            f"event {first.event_id!r} was {was} before with another body; an id belongs to "
            f"one event{see}",
            "event",
        )
    at = request.event_timestamp
    if at is not None and at != first.event_timestamp:
        raise EventRefused(
            "event_changed",
            f"event {first.event_id!r} was {was} before with event_timestamp "
            f"{first.event_timestamp.isoformat()}, not {at.isoformat()}; an id belongs to one "
            "event",
            "event_timestamp",
        )


def _canonical(posted: str) -> str:
    """The JSON without what order and spaces change."""
    try:
        return json.dumps(json.loads(posted), sort_keys=True)
    except (ValueError, RecursionError):
        return posted


def _declared(instant: datetime) -> datetime:
    try:
        return declared_instant(instant)
    except InvalidRequest as error:
        raise EventRefused(
            "invalid_request", f"event_timestamp: {error}", "event_timestamp",
        ) from None
