"""A tiny system for unit tests: purchases in shops, some of which are returned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.data.tables import Table
from ml_assets.core.errors import Quarantined
from ml_assets.core.feedback import FeedbackPolicy, TrustClass
from ml_assets.core.model import FullBatch, HashedText, Model, Numbers, Text
from ml_assets.core.policies import (
    DriftPolicy,
    Gate,
    RetrainingPolicy,
    Slice,
)
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.truths import Outcomes
from ml_assets.targets import Binary


@dataclass(frozen=True, kw_only=True)
class ToySource:
    """An archive held in memory; a request is `{"shop": str, "note": str, "amount": number}`."""

    history: tuple[ArchivedEvent, ...] = field(default=())

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        return iter(self.history)

    def parse(self, request: Request) -> Event:
        amount = request.get("amount")
        if not isinstance(amount, (int, float)):
            raise Quarantined(f"amount is {amount!r}; expected a number")
        return {
            "shop": str(request.get("shop", "")),
            "note": str(request.get("note", "")),
            "amount": float(amount),
        }


PURCHASES = Stream(
    name="purchases", asked=True, description="what is bought",
    source=ToySource(),
    columns=(
        Column(name="shop", dtype="text", description="where it was bought"),
        Column(name="note", dtype="text", description="what the buyer wrote", max_length=1000),
        Column(name="amount", dtype="number", description="price in EUR", minimum=0),
    ),
)

@dataclass(frozen=True, kw_only=True)
class VisitSource:
    """A request is `{"shop": str}`, with any of `page`, `seconds` and `seen`."""

    history: tuple[ArchivedEvent, ...] = field(default=())

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        return iter(self.history)

    def parse(self, request: Request) -> Event:
        if "shop" not in request:
            raise Quarantined("the visit has no shop")
        return {"page": None, "seconds": None, "seen": [], **request}


VISITS = Stream(
    name="visits", description="who looks at what before buying",
    source=VisitSource(),
    columns=(
        Column(name="shop", dtype="text", description="where somebody looks"),
        Column(name="page", dtype="category", description="at which page", optional=True,
               max_length=50),
        Column(name="seconds", dtype="number", description="for how long", minimum=0,
               optional=True),
        Column(name="seen", dtype="integer", description="the products on it", many=True),
    ),
)

@dataclass(frozen=True, kw_only=True)
class RowsInMemory:
    """Rows of a table; each a column's name to its value."""

    rows: tuple[Mapping[str, object], ...] = ()

    def fetch(self, cache: Path) -> Path:
        return cache

    def batches(self, fetched: Path) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(self.rows), 3):
            yield pa.RecordBatch.from_pylist(list(self.rows[start : start + 3]))


SHOPS = Table(
    name="shops", description="what kind of shop it is", keys=("shop",),
    rows=RowsInMemory(rows=(
        {"shop": "corner", "size": 30.0, "staff": 2, "kind": "street",
         "since": "2023-05-01T00:00Z", "told": "2023-05-02T00:00Z"},
        {"shop": "corner", "size": 45.0, "staff": 3, "kind": "street",
         "since": "2024-01-03T00:00Z", "told": "2024-01-04T12:00Z"},
        {"shop": "mall", "size": None, "staff": None, "kind": "centre",
         "since": "2024-01-05T00:00Z", "told": "2024-01-05T00:00Z"},
    )),
    columns=(
        Column(name="shop", dtype="text", description="which shop"),
        Column(name="size", dtype="number", description="in square metres", minimum=1,
               optional=True),
        Column(name="staff", dtype="integer", description="people", optional=True),
        Column(name="kind", dtype="category", description="where it is",
               values=("street", "centre")),
    ),
    timestamp="since", known_at="told",
)

TOY = System(
    name="toy",
    description="Will a purchase be returned?",
    owners=("team:tests",),
    calendar=Calendar(
        first_day=date(2024, 1, 1), go_live=date(2024, 1, 8), last_day=date(2024, 3, 1)
    ),
    streams=(PURCHASES, VISITS),
    tables=(SHOPS,),
    entities=(Entity(name="shop", description="a shop"),),
    sticky_by="shop",
    scores_by="shop",
    feature_service="toy_returns",
    target=Binary(name="returned"),
    truth=Outcomes(source="buyer", after=timedelta(days=2), silence=False,
                   grace=timedelta(days=1)),
    feedback=FeedbackPolicy(trusted=(TrustClass(name="customer", sources=("buyer",)),)),
    model=Model(
        inputs=(Text("note"), Numbers("amount")),
        network=HashedText(buckets=2**12), fit=FullBatch(iterations=20),
    ),
    gates=(
        Gate(metric="roc_auc", at_least=0.6),
        Gate(metric="log_loss", better_than_champion_by=0.0),
    ),
    slices=(Slice(name="cheap", where="amount < 10", description="less than 10 EUR"),),
    retraining=RetrainingPolicy(
        after_labels=50, max_age=timedelta(days=14), cooldown=timedelta(days=1)
    ),
    drift=DriftPolicy(effect=0.25, min_events=20),
)


def with_stream(system: System, **changes: Any) -> System:
    """`system` with another asked stream: its source, its columns."""
    return with_streams(system, {system.asked.name: changes})


def with_streams(system: System, changes: Mapping[str, Mapping[str, Any]]) -> System:
    """`system` with other streams; `changes` by their names."""
    streams = tuple(replace(stream, **changes.get(stream.name, {})) for stream in system.streams)
    return replace(system, streams=streams)
