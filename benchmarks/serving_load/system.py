"""The served system: a small model over about twenty words and thirty numbers.

Ten numbers come with the request, twenty from the feature store (`features.py`). Its data is
made up; what a prediction costs does not depend on what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import Quarantined
from ml_assets.core.model import FullBatch, HashedText, Model, Numbers, Text
from ml_assets.core.policies import Gate, RetrainingPolicy
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.truths import Outcomes
from ml_assets.targets import Binary

KEYS = ("card", "device", "address", "shop")
NUMBERS = (
    "amount", "balance", "items", "discount", "distance_km", "minutes_on_page", "attempts",
    "card_age_days", "shop_age_days", "hour",
)
WORDS = 20
"""Words of a note: with their pairs, 39 entries in the bag."""


@dataclass(frozen=True, kw_only=True)
class Payments:
    """A request is the event's columns, unchanged. There is no archive."""

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        return iter(())

    def parse(self, request: Request) -> Event:
        event: dict[str, object] = {"note": str(request.get("note", ""))}
        for name in KEYS:
            event[name] = str(request.get(name, ""))
        for name in NUMBERS:
            value = request.get(name)
            if not isinstance(value, int | float):
                raise Quarantined(f"{name} is {value!r}; expected a number")
            event[name] = float(value)
        return event


PAYMENT_STREAM = Stream(
    name="payments", asked=True, description="card payments",
    source=Payments(),
    columns=(
        Column(name="note", dtype="text", max_length=500, description="what the payer wrote"),
        *(Column(name=name, dtype="text", max_length=64, description=name) for name in KEYS),
        *(Column(name=name, dtype="number", minimum=0, description=name) for name in NUMBERS),
    ),
)

PAYMENTS = System(
    name="payments",
    description="Will this card payment be disputed?",
    owners=("team:benchmarks",),
    calendar=Calendar(first_day=date(2024, 1, 1), go_live=date(2024, 1, 8)),
    streams=(PAYMENT_STREAM,),
    entities=tuple(Entity(name=name, description=f"a {name}") for name in KEYS),
    feature_service="payments_memory",
    sticky_by="card",
    target=Binary(name="disputed"),
    truth=Outcomes(source="bank", after=timedelta(days=29), silence=False,
                   grace=timedelta(days=1)),
    model=Model(
        inputs=(Text("note", unit="words"), Numbers(*NUMBERS)),
        network=HashedText(buckets=2**14, pieces=0, l2_dense=2.0), fit=FullBatch(iterations=15),
    ),
    gates=(Gate(metric="roc_auc", at_least=0.6),),
    retraining=RetrainingPolicy(
        after_labels=1000, max_age=timedelta(days=30), cooldown=timedelta(days=1)
    ),
)
