"""A tiny system whose answer is one of several: tickets that go to a queue of a help desk."""

from __future__ import annotations

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
from ml_assets.core.model import HashedText, Model, Numbers, Text
from ml_assets.core.policies import Gate, RetrainingPolicy, Slice
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.time import DAY, midnight
from ml_assets.core.truths import Complaints
from ml_assets.targets import Classes

FIRST, LIVE = date(2024, 4, 1), date(2024, 4, 8)
DAYS, PER_DAY = 14, 60
QUEUES = ("billing", "delivery", "returns", "01")
"""The last one looks like a number, and stays a text."""
SAID = {
    "billing": ("invoice", "charged", "twice", "card", "refund"),
    "delivery": ("parcel", "late", "courier", "address", "tracking"),
    "returns": ("broken", "label", "refund", "exchange", "size"),
    "01": ("hello", "question", "account", "thanks", "password"),
}
SMALL_TALK = ("please", "order", "my", "the", "still", "again", "help", "is")


@dataclass(frozen=True, kw_only=True)
class TicketSource:
    """A request is `{"customer": str, "text": str, "waited": number}`."""

    days: int = DAYS
    per_day: int = PER_DAY

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        """Each customer has one favourite trouble; the text mostly says which it is today."""
        draw = random.Random(11)
        for place in range(self.days * self.per_day):
            customer = draw.randrange(12)
            queue: Any = QUEUES[customer % 4] if draw.random() < 0.5 else draw.choice(QUEUES)
            words = [draw.choice(SAID[queue] if draw.random() < 0.35 else SMALL_TALK)
                     for _ in range(draw.randint(3, 12))]
            yield ArchivedEvent(
                event_id=f"t{place}",
                event_timestamp=midnight(FIRST) + place * DAY / self.per_day,
                request={"customer": f"c{customer}", "text": " ".join(words),
                         "waited": round(draw.expovariate(1 / (30 if queue == "delivery" else 5)),
                                         1)},
                outcome=queue,
            )

    def parse(self, request: Request) -> Event:
        waited = request.get("waited")
        if not isinstance(waited, (int, float)) or isinstance(waited, bool):
            raise Quarantined(f"waited is {waited!r}; expected a number of hours")
        return {"customer": str(request.get("customer", "")), "text": str(request.get("text", "")),
                "waited": float(waited)}


WRITTEN = Stream(
    name="written", asked=True, description="what customers write",
    source=TicketSource(),
    columns=(
        Column(name="customer", dtype="text", description="who writes", max_length=40),
        Column(name="text", dtype="text", description="what is written", max_length=1000),
        Column(name="waited", dtype="number", unit="h", minimum=0,
               description="how long the customer has waited already"),
    ),
)

TICKETS = System(
    name="tickets",
    description="Which queue does this ticket belong to?",
    owners=("team:tests",),
    calendar=Calendar(first_day=FIRST, go_live=LIVE, last_day=FIRST + timedelta(days=DAYS - 1)),
    streams=(WRITTEN,),
    entities=(Entity(name="customer", description="a customer"),),
    feature_service="ticket_desk",
    target=Classes(name="queue", classes=QUEUES),
    truth=Complaints(source="desk", within=timedelta(hours=4), maturity=timedelta(hours=6)),
    feedback=FeedbackPolicy(trusted=(TrustClass(name="agent", sources=("desk",)),), crowd=None),
    model=Model(inputs=(Text("text", unit="words"), Numbers("waited")),
                network=HashedText(buckets=2**10), holdout=timedelta(days=1)),
    gates=(
        Gate(metric="accuracy", at_least=0.4),
        Gate(metric="log_loss", better_than_champion_by=0.0),
    ),
    slices=(Slice(name="waiting", where="waited > 10", description="more than 10 hours"),),
    retraining=RetrainingPolicy(
        after_labels=100, max_age=timedelta(days=14), cooldown=timedelta(days=1)
    ),
)
