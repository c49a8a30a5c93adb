"""A second tiny system that has little in common with `tests.toy`: readings of meters.

Two keys, no text that a model reads, no score that is kept, no label from silence.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import Quarantined
from ml_assets.core.feedback import FeedbackPolicy, TrustClass
from ml_assets.core.model import FullBatch, Model, Numbers
from ml_assets.core.policies import Gate, RetrainingPolicy
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.time import DAY, midnight
from ml_assets.core.truths import Recorded
from ml_assets.targets import Binary

REQUIRED, OPTIONAL = ("site", "device", "reading"), ("celsius", "state", "codes")
FIRST, LIVE = date(2023, 12, 25), date(2024, 1, 1)


@dataclass(frozen=True, kw_only=True)
class MeterSource:
    """A request has the required fields and any of the others; the contract knows their types."""

    history: tuple[ArchivedEvent, ...] = field(default=())

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        return iter(self.history)

    def parse(self, request: Request) -> Event:
        if not set(REQUIRED) <= set(request) <= {*REQUIRED, *OPTIONAL}:
            raise Quarantined(f"the fields are {sorted(request)}")
        return {"codes": [], **request}


def recorded() -> Iterator[ArchivedEvent]:
    """A meter that reads much is the likelier to be broken."""
    draw = random.Random(3)
    for place in range(7 * 40):
        reading, at = draw.uniform(-50, 50), midnight(FIRST) + place * DAY / 40
        yield ArchivedEvent(
            event_id=f"m{place}",
            event_timestamp=at,
            request={"site": f"site {place % 3}", "device": place % 4, "reading": reading,
                     **({"celsius": draw.uniform(-20, 40)} if place % 5 else {}),
                     **({"state": "odd" if reading > 30 else "fine"} if place % 3 else {}),
                     "codes": [place, 2**53 + 1][: place % 3]},
            outcome=draw.random() < (reading + 50) / 100,
            known_at=at + timedelta(seconds=place % 5),
        )


READINGS = Stream(
    name="readings", asked=True, description="what meters say",
    source=MeterSource(history=tuple(recorded())),
    columns=(
        Column(name="site", dtype="text", description="where it hangs", max_length=45),
        Column(name="device", dtype="integer", description="which it is"),
        Column(name="reading", dtype="number", description="what it says"),
        Column(name="celsius", dtype="number", description="how warm it is", minimum=-273.15,
               maximum=1e6, optional=True),
        Column(name="state", dtype="category", description="what it thinks of itself",
               values=("fine", "odd"), optional=True),
        Column(name="codes", dtype="integer", description="what it reports", many=True),
    ),
)

METER = System(
    name="meter",
    description="Is this meter broken?",
    owners=("team:tests",),
    calendar=Calendar(first_day=FIRST, go_live=LIVE, last_day=date(2024, 3, 1)),
    streams=(READINGS,),
    entities=(Entity(name="site", description="a site"),
              Entity(name="device", description="a meter")),
    feature_service="meter_state",
    target=Binary(name="broken"),
    truth=Recorded(source="tech:ann", within=timedelta(seconds=5)),
    feedback=FeedbackPolicy(trusted=(TrustClass(name="technician", sources=("tech:",)),),
                            crowd=None),
    model=Model(inputs=(Numbers("reading", "celsius"),), fit=FullBatch(iterations=3)),
    gates=(Gate(metric="log_loss", at_most=100.0),),
    retraining=RetrainingPolicy(
        after_labels=50, max_age=timedelta(days=14), cooldown=timedelta(days=1)
    ),
)
