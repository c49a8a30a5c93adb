"""A tiny system whose answer is a quantity: how many minutes will this trip take?

Two keys, no text that a model reads; each trip's duration becomes known when it ends.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import Quarantined
from ml_assets.core.feedback import FeedbackPolicy, TrustClass
from ml_assets.core.model import Model, Numbers
from ml_assets.core.policies import Gate, RetrainingPolicy, Slice
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.time import DAY, midnight
from ml_assets.core.truths import Recorded
from ml_assets.targets import Number

FIRST, LIVE = date(2024, 5, 6), date(2024, 5, 13)
DAYS, PER_DAY = 14, 60
TEXTS, NUMBERS = ("driver", "zone"), ("km", "hour")


@dataclass(frozen=True, kw_only=True)
class TripSource:
    """A request has just these fields, of just these types."""

    days: int = DAYS
    per_day: int = PER_DAY

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        """Far, in the rush hour, by a slow driver: each takes its time."""
        draw = random.Random(5)
        for place in range(self.days * self.per_day):
            at = midnight(FIRST) + place * DAY / self.per_day
            driver, zone = draw.randrange(8), draw.randrange(4)
            km = min(60.0, draw.lognormvariate(1.3, 0.7))
            rush = math.exp(-((at.hour - 17) / 2) ** 2)
            pace = (2.0 + 0.15 * driver + 0.2 * zone) * (1 + 0.8 * rush)
            minutes: Any = round(min(600.0, max(0.0, 3 + pace * km + draw.gauss(0, 1.5))), 1)
            yield ArchivedEvent(
                event_id=f"r{place}", event_timestamp=at,
                request={"driver": f"d{driver}", "zone": f"z{zone}", "km": round(km, 2),
                         "hour": at.hour},
                outcome=minutes, known_at=at + timedelta(minutes=minutes),
            )

    def parse(self, request: Request) -> Event:
        if sorted(request) != sorted((*TEXTS, *NUMBERS)):
            raise Quarantined(f"the fields are {sorted(request)}")
        numbers = {name: request[name] for name in NUMBERS}
        for name, value in numbers.items():
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                raise Quarantined(f"{name} is {value!r}; expected a number")
        return {**{name: str(request[name]) for name in TEXTS},
                **{name: float(str(value)) for name, value in numbers.items()}}


RIDES = Stream(
    name="rides", asked=True, description="trips that begin",
    source=TripSource(),
    columns=(
        Column(name="driver", dtype="text", description="who drives"),
        Column(name="zone", dtype="text", description="where it begins"),
        Column(name="km", dtype="number", unit="km", minimum=0, description="how far it is"),
        Column(name="hour", dtype="number", minimum=0, maximum=23, description="of the day"),
    ),
)

TRIPS = System(
    name="trips",
    description="How many minutes will this trip take?",
    owners=("team:tests",),
    calendar=Calendar(first_day=FIRST, go_live=LIVE, last_day=FIRST + timedelta(days=DAYS - 1)),
    streams=(RIDES,),
    entities=(Entity(name="driver", description="who drives"),
              Entity(name="zone", description="where trips begin")),
    sticky_by="driver",
    scores_by="zone",
    feature_service="trip_state",
    target=Number(name="duration", unit="min", minimum=0, maximum=600, tolerance=3,
                  interval=0.9),
    truth=Recorded(source="taximeter", within=timedelta(hours=10)),
    feedback=FeedbackPolicy(trusted=(TrustClass(name="meter", sources=("taximeter",)),),
                            crowd=None),
    model=Model(inputs=(Numbers(*NUMBERS),), holdout=timedelta(days=1)),
    gates=(
        Gate(metric="r2", at_least=0.5),
        Gate(metric="squared_error", better_than_champion_by=0.0),
    ),
    slices=(Slice(name="far", where="km > 5", description="more than 5 km"),),
    retraining=RetrainingPolicy(
        after_labels=100, max_age=timedelta(days=14), cooldown=timedelta(days=1)
    ),
)
