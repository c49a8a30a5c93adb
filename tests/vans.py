"""A tiny system with nothing in common with `tests.market` but a key: how long does a van stand?

It reads the market's views by stall: what is looked at there, and what kind of stall it is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.model import FullBatch, Model, Numbers
from ml_assets.core.policies import Gate, RetrainingPolicy
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.time import DAY, midnight
from ml_assets.core.truths import Outcomes
from ml_assets.targets import Number

FIRST, LIVE, LAST = date(2024, 1, 2), date(2024, 1, 9), date(2024, 1, 20)
PER_DAY = 20


@dataclass(frozen=True, kw_only=True)
class VanSource:
    """The heavier its load, the longer it stands."""

    days: int = (LIVE - FIRST).days + 2

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        draw = random.Random(11)
        for place in range(self.days * PER_DAY):
            at = midnight(FIRST) + place * DAY / PER_DAY + timedelta(minutes=3)
            crates = draw.randrange(1, 40)
            yield ArchivedEvent(
                event_id=f"v{place}", event_timestamp=at,
                request={"stall": f"stall {place % 3}", "crates": crates},
                outcome=round(3.0 + crates / 2 + draw.gauss(0, 1), 2))

    def parse(self, request: Request) -> Event:
        return dict(request)


VANS = System(
    name="vans",
    description="How many minutes will this van stand at the stall?",
    owners=("team:roads",),
    calendar=Calendar(first_day=FIRST, go_live=LIVE, last_day=LAST),
    streams=(Stream(
        name="arrivals", asked=True, description="vans that arrive", source=VanSource(),
        columns=(
            Column(name="stall", dtype="category", description="where it unloads"),
            Column(name="crates", dtype="number", description="what it brings", minimum=0),
        )),),
    entities=(Entity(name="stall", description="where it unloads"),),
    feature_service="vans_state",
    target=Number(name="minutes", unit="min", minimum=0, maximum=600, tolerance=0.2,
                  interval=0.9, errors="relative"),
    truth=Outcomes(source="warden", after=timedelta(hours=1)),
    model=Model(inputs=(Numbers("crates"),), fit=FullBatch(iterations=3),
                holdout=timedelta(days=1)),
    gates=(Gate(metric="squared_log_error", at_most=100.0),),
    retraining=RetrainingPolicy(
        after_labels=10_000, max_age=timedelta(days=14), cooldown=timedelta(days=1)),
)
