"""The looped system: card payments, some disputed. Its year is drawn day by day, from a seed.

A day's events depend on the day and on how many there are in a year, and on nothing that was
drawn before: the archive is never held in memory, and two runs see the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import Quarantined
from ml_assets.core.model import HashedText, Model, Numbers, Text
from ml_assets.core.policies import (
    DriftPolicy,
    Gate,
    RetrainingPolicy,
    Slice,
)
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.time import midnight
from ml_assets.core.truths import Outcomes
from ml_assets.targets import Binary

EVENTS = "BENCH_LOOP_EVENTS"
"""The environment variable that says how many events the year has."""
LENGTH = "BENCH_LOOP_DAYS"
"""That which says over how many days: of a year a month is replayed, of less its twelfth."""
DAYS = int(os.environ.get(LENGTH, "365"))
REPLAYED = DAYS // 12
FIRST = date(2023, 1, 1)
LIVE = FIRST + timedelta(days=DAYS - REPLAYED)

TERMINALS = 1_000
PER_CUSTOMER = 40
"""Payments in a year. Customers grow with the events, terminals see more of them."""
CHANNELS = ("chip", "contactless", "web", "app", "phone")
COUNTRIES = 30
NUMBERS = ("amount", "items", "distance_km", "hour")
TEXTS = ("customer", "terminal", "channel", "country")


def on_day(events: int, day: int, days: int = DAYS) -> int:
    """How many of the `events` of so many days fall on day number `day`."""
    return events * (day + 1) // days - events * day // days


@dataclass(frozen=True, kw_only=True)
class MadeUpYear:
    """A request is the event's columns, unchanged. `events`: how many the archive has."""

    events: int

    def fetch(self, cache: Path) -> Path:
        return Path(__file__)

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        for day in range(DAYS):
            yield from self._day(day)

    def _day(self, day: int) -> Iterator[ArchivedEvent]:
        """A terminal is tampered with for a fortnight now and then; what is paid there then, and
        what is dear and comes from far, is likelier to be disputed.
        """
        draw = np.random.default_rng([11, self.events, day])
        count = on_day(self.events, day)
        seconds = np.sort(draw.uniform(0, 86_400, count))
        customer = draw.integers(0, max(1, self.events // PER_CUSTOMER), count)
        terminal = (draw.random(count) ** 1.5 * TERMINALS).astype(int)
        channel = draw.integers(0, len(CHANNELS), count)
        country = draw.integers(0, COUNTRIES, count)
        amount = np.round(draw.lognormal(3, 1, count), 2)
        items, far = draw.integers(1, 9, count), np.round(draw.exponential(30, count), 1)
        tampered = (terminal * 7919 + day // 14 * 104_729) % 50 == 0
        odds = (-4.5 + 2.5 * tampered + 0.6 * (np.log(amount) - 3) + 0.01 * far
                + 0.8 * (channel == 2) + 0.5 * (country < 3))
        disputed = draw.random(count) < 1 / (1 + np.exp(-odds))
        start = midnight(FIRST + timedelta(days=day))
        for number in range(count):
            yield ArchivedEvent(
                event_id=f"{day:03d}-{number}",
                event_timestamp=start + timedelta(seconds=float(seconds[number])),
                request={
                    "customer": f"c{customer[number]}", "terminal": f"t{terminal[number]}",
                    "channel": CHANNELS[channel[number]], "country": f"n{country[number]}",
                    "amount": float(amount[number]), "items": float(items[number]),
                    "distance_km": float(far[number]), "hour": float(seconds[number] // 3600),
                },
                outcome=bool(disputed[number]),
            )

    def parse(self, request: Request) -> Event:
        event: dict[str, object] = {name: str(request.get(name, "")) for name in TEXTS}
        for name in NUMBERS:
            value = request.get(name)
            if not isinstance(value, int | float):
                raise Quarantined(f"{name} is {value!r}; expected a number")
            event[name] = float(value)
        return event


CARDS = System(
    name="cards",
    description="Will this card payment be disputed? Made up.",
    owners=("team:benchmarks",),
    calendar=Calendar(first_day=FIRST, go_live=LIVE),
    streams=(
        Stream(
            name="payments", asked=True, description="card payments",
            source=MadeUpYear(events=int(os.environ.get(EVENTS, "10000"))),
            columns=(
                *(Column(name=name, dtype="text", max_length=64, description=name)
                  for name in TEXTS),
                *(Column(name=name, dtype="number", minimum=0, description=name)
                  for name in NUMBERS),
            ),
        ),
    ),
    entities=(Entity(name="customer", description="who pays"),
              Entity(name="terminal", description="where it is paid")),
    feature_service="cards_memory",
    target=Binary(name="disputed"),
    truth=Outcomes(source="bank", after=timedelta(days=6), silence=False,
                   grace=timedelta(days=1)),
    model=Model(
        inputs=(Text("channel", unit="words"), Text("country", unit="words"), Numbers(*NUMBERS)),
        network=HashedText(buckets=2**10), history=timedelta(days=90), holdout=timedelta(days=14),
    ),
    gates=(Gate(metric="log_loss", at_most=1.0),),
    slices=(Slice(name="web", where="channel = 'web'", description="paid on the web"),),
    retraining=RetrainingPolicy(max_age=timedelta(days=14), cooldown=timedelta(days=1)),
    drift=DriftPolicy(persistence=60),
)
