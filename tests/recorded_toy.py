"""The toy system with a history. Imports no definitions, so that a project can declare it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ml_assets.core.model import FullBatch, HashedText
from ml_assets.core.policies import Gate
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.core.truths import Outcomes
from tests.toy import TOY, ToySource, with_stream

BAD: tuple[dict[str, Any], ...] = (
    {"event_timestamp": datetime(1, 1, 1, tzinfo=UTC)}, {"event_timestamp": None},
    {"event_id": "h\0"}, {"event_id": "h0-0"}, {"outcome": 37.5},
    {"request": {"shop": "\ud800", "note": "", "amount": 1.0}}, {"request": {"amount": None}},
)
"""What is wrong with one more record of each day."""


def recorded(system: System = TOY, per_day: int = 40) -> Iterator[ArchivedEvent]:
    """History before going live: the dearer a purchase, the likelier is its return.

    One record of each day cannot be used.
    """
    draw = random.Random(7)
    for number in range((system.calendar.go_live - system.calendar.first_day).days):
        start = midnight(system.calendar.first_day) + number * DAY
        for place in range(per_day):
            amount = draw.uniform(1, 100)
            yield ArchivedEvent(
                event_id=f"h{number}-{place}",
                event_timestamp=start + place * timedelta(minutes=30),
                request={"shop": f"shop {place % 5}", "note": f"note {place % 7}",
                         "amount": amount},
                outcome=draw.random() < amount / 100,
            )
        good = ArchivedEvent(event_id=f"bad {number}", event_timestamp=start + DAY / 2,
                             request={"shop": "shop 1", "note": "", "amount": 1.0}, outcome=True)
        yield replace(good, **BAD[number % len(BAD)])


WHOLE = replace(
    with_stream(TOY, source=ToySource(history=tuple(recorded()))),
    truth=Outcomes(source="buyer", after=timedelta(minutes=30), silence=False,
                   grace=timedelta(minutes=30)),
    gates=(Gate(metric="log_loss", at_most=100.0),),
    model=replace(TOY.model, network=HashedText(buckets=2**8), fit=FullBatch(iterations=3)),
)
"""Labels mature within the day, so that a day's events are trained on when it is closed."""
