"""Recorded slates in a replay: history has their rows, clients of the API send their requests.

A request is an archived event too. Its outcome is what was taken: a list of pairs of an item and
the instant at which that became known, if the archive knows it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple, cast

import numpy as np

from ml_assets.core.slates import SlatePolicy, row_id, split
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.core.texts import key_text
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.replay.api import Client

Rows = list[tuple[ArchivedEvent, Prediction]]
"""What was answered for an event: itself, or each row of its slate."""


def as_sent(system: System, history: Iterable[ArchivedEvent]) -> Iterator[ArchivedEvent]:
    """The events as clients send them: for the rows of a slate, which happened at one instant,
    their request. Others as they are.

    history: of `ingest.archive.usable`
    """
    policy = system.target.slates
    if policy is None:
        yield from history
        return
    for _, instant in groupby(history, key=lambda event: event.event_timestamp):
        slates: dict[str, list[ArchivedEvent]] = {}
        for event in instant:
            request = split(event.event_id)
            slates.setdefault(event.event_id if request is None else request[0], []).append(event)
        for name, rows in slates.items():
            yield rows[0] if rows[0].event_id == name else _request(policy, name, rows)


def asks_for_slate(system: System, event: ArchivedEvent) -> bool:
    """Whether it is a request of `as_sent`, and not a row of its own."""
    policy = system.target.slates
    return policy is not None and policy.item not in event.request


class Answered(NamedTuple):
    """What the API said of an event, or of a row of its slate; the first one has the latency."""

    event: ArchivedEvent
    prediction_id: str
    decision: object
    latencies_ms: tuple[float, ...]


def ask(api: Client, system: System, wave: Sequence[ArchivedEvent]) -> Iterator[Answered]:
    """Send the events of a wave, and say what was answered, in order."""
    for ranks, some in groupby(wave, key=lambda event: asks_for_slate(system, event)):
        events = list(some)
        if ranks:
            for request in events:
                yield from _ranked(api, system, request)
            continue
        for event, answer in zip(events, api.predict_together(events), strict=True):
            yield Answered(event, answer["prediction_id"], answer["decision"],
                           (answer["latency_ms"],))


def _ranked(api: Client, system: System, request: ArchivedEvent) -> Iterator[Answered]:
    policy, target = system.target.slates, system.target
    assert policy is not None
    slate = api.rank(request.event_id, request.event_timestamp, dict(request.request))
    for place, shown in enumerate(slate["items"]):
        decision = target.label_of(float(target.decide(np.array([[shown["score"]]]))[0]))
        yield Answered(
            row(policy, request, shown["position"], shown["item"]), shown["prediction_id"],
            decision, (slate["latency_ms"],) if place == 0 else ())


def row(policy: SlatePolicy, request: ArchivedEvent, position: int, item: object) -> ArchivedEvent:
    """What the archive says of an item that was shown: taken at an instant, or not."""
    outcome: bool | None = None
    known_at = None
    if request.outcome is not None:
        taken = cast("Sequence[tuple[object, str | None]]", request.outcome)
        found = [at for each, at in taken if key_text(each) == key_text(item)]
        outcome = bool(found)
        known_at = datetime.fromisoformat(found[0]) if found and found[0] is not None else None
    return replace(
        request, event_id=row_id(request.event_id, position),
        request={**request.request, policy.item: item}, outcome=outcome, known_at=known_at)


def answered(
    system: System, log: EventLog, events: Sequence[ArchivedEvent]
) -> list[tuple[ArchivedEvent, Rows]]:
    """Each event with what the API has answered so far; without rows if it has not."""
    policy = system.target.slates
    ids = [name for event in events for name in _ids(system, event)]
    answers = log.answers_to(system.name, ids)
    return [(event, list(_rows_of(system, policy, event, answers))) for event in events]


def _ids(system: System, event: ArchivedEvent) -> list[str]:
    policy = system.target.slates
    if policy is None or not asks_for_slate(system, event):
        return [event.event_id]
    return [row_id(event.event_id, place + 1) for place in range(policy.page)]


def _rows_of(
    system: System, policy: SlatePolicy | None, event: ArchivedEvent,
    answers: Mapping[str, Prediction],
) -> Iterator[tuple[ArchivedEvent, Prediction]]:
    for position, name in enumerate(_ids(system, event), 1):
        if (answer := answers.get(name)) is None:
            continue
        if policy is None or not asks_for_slate(system, event):
            yield event, answer
        else:
            shown: dict[str, Any] = json.loads(answer.request)
            yield row(policy, event, position, shown[policy.item]), answer


def _request(policy: SlatePolicy, name: str, rows: Sequence[ArchivedEvent]) -> ArchivedEvent:
    known = [each for each in rows if each.outcome is not None]
    taken = [[each.request[policy.item],
              None if each.known_at is None else each.known_at.isoformat()]
             for each in known if each.outcome]
    fields = {field: value for field, value in rows[0].request.items() if field != policy.item}
    return replace(rows[0], event_id=name, request=fields, outcome=taken if known else None,
                   known_at=None)
