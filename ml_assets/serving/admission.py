"""Which requests become events: parsed, within the contract, not from the future, not changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from math import inf
from uuid import uuid4

import numpy as np
from msgspec import Struct

from ml_assets.core.errors import Quarantined
from ml_assets.core.source import Event
from ml_assets.core.system import Column, System
from ml_assets.ingest.event_log import Prediction
from ml_assets.ingest.posted import read_json
from ml_assets.serving.decoding import RequestRefused
from ml_assets.serving.protocol import PredictRequest

FUTURE = timedelta(seconds=60)
"""How far ahead of ours a client's clock may be."""

LARGEST = float(np.finfo(np.float32).max)
MAX_DEPTH = 64
"""So deep an event may be nested. Python's own limit depends on who calls: what we accept near
it, ingestion might not."""


class Admitted(Struct, frozen=True, kw_only=True):
    """A request that can be answered: the event parsed, its id and instant decided."""

    request: PredictRequest
    posted: str
    event: Event
    event_id: str
    at: datetime


class Admission:
    """Lets one system's events in, and says of all others which field keeps them out."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._numbers = [
            (column.name, -LARGEST if column.minimum is None else max(column.minimum, -LARGEST),
             LARGEST if column.maximum is None else min(column.maximum, LARGEST))
            for column in system.columns if column.dtype == "number"
        ]
        self._texts = [
            (column.name, inf if column.max_length is None else column.max_length)
            for column in system.columns if column.dtype != "number"
        ]

    def admit(self, request: PredictRequest, now: datetime) -> Admitted:
        """The request as an event at its instant. Raises RequestRefused, naming the field."""
        at = now if request.event_timestamp is None else _utc(request.event_timestamp)
        if at - now > FUTURE:
            raise RequestRefused(
                422, "event_in_the_future",
                f"event_timestamp is {at.isoformat()}, more than {FUTURE.seconds} s after this "
                f"system's clock, {now.isoformat()}",
                "event_timestamp",
            )
        try:
            posted = str(request.event, "utf-8")
            event = self.read(posted)
        except (Quarantined, UnicodeDecodeError) as error:
            raise RequestRefused(422, "unusable_event", str(error), "event") from None
        return Admitted(request=request, posted=posted, event=event, at=at,
                        event_id=request.event_id or uuid4().hex)

    def read(self, posted: str) -> Event:
        """The columns of the event in `posted`, a JSON object.

        What this accepts, ingestion accepts too: the same parser on the same text, and the same
        data contract. Raises Quarantined with the reason where it cannot become an event.
        """
        try:
            request = read_json(posted)
        except (ValueError, RecursionError) as error:
            raise Quarantined(f"the event cannot be read as JSON: {error}") from error
        if not isinstance(request, dict):
            raise Quarantined(f"the event is {posted[:80]!r}; expected a JSON object")
        # As deep as it has brackets, at most: nearly all events need no closer look.
        if posted.count("{") + posted.count("[") > MAX_DEPTH and _depth(request) > MAX_DEPTH:
            raise Quarantined(f"the event is nested more than {MAX_DEPTH} deep")
        try:
            event = self._system.source.parse(request)
        except OverflowError as error:  # a whole number of 400 digits is JSON, and no float
            raise Quarantined(
                f"the event has a number beyond what can be computed: {error}"
            ) from error
        if not self._is_sound(event):
            self._require_sound(event)
        return event

    def _is_sound(self, event: Event) -> bool:
        """Whether nothing at all is wrong with it, in a third of the time that finding out takes.

        False too where it is sound but of unusual types.
        """
        for name, least, most in self._numbers:
            value = event.get(name)
            # NaN is within no bounds.
            if type(value) is not float or not least <= value <= most:
                return False
        for name, longest in self._texts:
            value = event.get(name)
            if type(value) is not str or len(value) > longest:
                return False
        return True

    def _require_sound(self, event: Event) -> None:
        """Raise Quarantined for what breaks the contract, or makes no number of a model's.

        A feature vector is float32: a model makes no probability of a number that is infinite
        there, so a challenger would be taken for broken by one hostile request.
        """
        for column in self._system.columns:
            value = event.get(column.name)
            breach = _breach(column, value)
            if breach:
                raise Quarantined(breach)
            if isinstance(value, float) and abs(value) > LARGEST:
                raise Quarantined(f"{column.name} is {value:g}; expected at most {LARGEST:g}, the "
                                  "largest number that a feature can be")


def _depth(value: object) -> int:
    """How deep lists and objects lie in each other: 1 where they hold none."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [child for each in level
                 for child in (each.values() if isinstance(each, dict) else each)]
    return depth


def require_same(first: Prediction, request: PredictRequest) -> None:
    """Raise RequestRefused where `request` uses the id of an event that was another one."""
    posted = bytes(request.event).decode("utf-8", "replace")
    if posted != first.request and _canonical(posted) != _canonical(first.request):
        raise RequestRefused(
            409, "event_changed",
            f"event {first.event_id!r} was answered before with another body; an id belongs to "
            f"one event. See /v1/{first.system}/predictions/{first.prediction_id}",
            "event",
        )
    at = request.event_timestamp
    if at is not None and at != first.event_timestamp:
        raise RequestRefused(
            409, "event_changed",
            f"event {first.event_id!r} was answered before with event_timestamp "
            f"{first.event_timestamp.isoformat()}, not {at.isoformat()}; an id belongs to one "
            "event",
            "event_timestamp",
        )


def _breach(column: Column, value: object) -> str | None:
    """How `value` breaks the contract that `ml_assets.ingest.contracts` gives the column."""
    wanted = float if column.dtype == "number" else str
    if not isinstance(value, wanted) or value != value:
        return f"{column.name} is {str(value)[:80]!r}; expected a {column.dtype}"
    if isinstance(value, float):
        if column.minimum is not None and value < column.minimum:
            return f"{column.name} is {value:g}; expected at least {column.minimum:g}"
        if column.maximum is not None and value > column.maximum:
            return f"{column.name} is {value:g}; expected at most {column.maximum:g}"
    elif column.max_length is not None and len(str(value)) > column.max_length:
        return (f"{column.name} has {len(str(value)):,} characters; expected at most "
                f"{column.max_length:,}")
    return None


def _canonical(posted: str) -> str:
    """The JSON without what order and spaces change."""
    try:
        return json.dumps(json.loads(posted), sort_keys=True)
    except (ValueError, RecursionError):
        return posted


def _utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise RequestRefused(
            422, "invalid_request", f"event_timestamp is {instant.isoformat()}, which lies "
            "outside the years 1 to 9999 in UTC", "event_timestamp",
        ) from None
