"""A tiny system whose features are texts, ids, rows of tables and what functions make of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.data.tables import Table
from ml_assets.core.model import FullBatch, Model, Numbers
from ml_assets.core.policies import Gate
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.time import DAY, midnight
from ml_assets.core.truths import Recorded
from ml_assets.targets import Binary, Cost, TopPrecision
from tests.toy import TOY, RowsInMemory, with_streams


@dataclass(frozen=True, kw_only=True)
class MarketSource:
    """A request is the row."""

    history: tuple[ArchivedEvent, ...] = field(default=())

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        return iter(self.history)

    def parse(self, request: Request) -> Event:
        return dict(request)


STALL = Column(name="stall", dtype="text", description="where it is bought")
FRUIT = Column(name="fruit", dtype="integer", description="which one", minimum=0, maximum=999)

BASKETS = Stream(
    name="baskets", asked=True, description="what is bought", source=MarketSource(),
    columns=(
        STALL, FRUIT,
        Column(name="price", dtype="number", description="in EUR", minimum=0),
        Column(name="pays", dtype="category", description="how", optional=True,
               values=("cash", "card")),
    ),
)
LOOKS = Stream(
    name="looks", description="who looks at what before buying", source=MarketSource(),
    columns=(
        STALL, FRUIT,
        Column(name="said", dtype="text", description="what was asked", optional=True),
        Column(name="mood", dtype="category", description="how it was asked"),
    ),
)
STALLS = Table(
    name="stalls", description="what kind of stall it is", keys=("stall",), timestamp="since",
    known_at="told", ttl=timedelta(days=20), rows=RowsInMemory(rows=tuple(
        {"stall": f"stall {n % 3}", "street": f"street {n % 4}", "roof": n % 2 == 0,
         "width": None if n == 4 else n / 4, "built": f"20{n:02}-05-01T10:00:00.25Z",
         "since": f"2024-01-{1 + 2 * n:02}T00:00Z", "told": f"2024-01-{2 + 2 * n:02}T08:00Z"}
        for n in range(6)
    )),
    columns=(
        STALL,
        Column(name="street", dtype="category", description="where it stands"),
        Column(name="roof", dtype="boolean", description="whether it has one"),
        Column(name="width", dtype="number", description="in metres", optional=True),
        Column(name="built", dtype="instant", description="when it was"),
    ),
)

MARKET = System(
    name="market",
    description="Is the fruit sweet?",
    owners=("team:tests",),
    calendar=Calendar(
        first_day=date(2024, 1, 1), go_live=date(2024, 1, 8), last_day=date(2024, 1, 20)
    ),
    streams=(BASKETS, LOOKS),
    tables=(STALLS,),
    entities=(Entity(name="stall", description="a stall"),
              Entity(name="fruit", description="a fruit")),
    feature_service="market_state",
    target=Binary(name="sweet", cost=Cost(miss="price", alarm=6.0, unit="EUR"),
                  tops=(TopPrecision(by="stall", top=1), TopPrecision(by="fruit", top=2,
                                                                      repeat="once"))),
    truth=Recorded(source="taster", within=timedelta(hours=2)),
    model=Model(inputs=(Numbers("price"),), fit=FullBatch(iterations=3)),
    gates=(Gate(metric="log_loss", at_most=100.0),),
    retraining=TOY.retraining,
)


def basket(n: int) -> dict[str, object]:
    """The n-th basket as a client posts it."""
    return {"stall": f"stall {n % 3}", "fruit": n * 7 % 5, "price": n * 37 % 100 / 4,
            "pays": ("cash", "card", None, "card")[n % 4]}


def look(n: int) -> dict[str, object]:
    return {"stall": f"stall {n % 3}", "fruit": n % 5, "said": ("ripe?", None, "süß?")[n % 3],
            "mood": ("glad", "cross", "glad", "keen", "cross")[n * n % 5]}


def recorded(system: System = MARKET, per_day: int = 24, live_days: int = 0) -> System:
    """With a past: an event of each stream every hour; a dear fruit is sweet.

    live_days: so many days from going live on are in it too
    """
    days = (system.calendar.go_live - system.calendar.first_day).days + live_days
    first = midnight(system.calendar.first_day)
    numbers = [(n, first + n * DAY / per_day) for n in range(days * per_day)]
    baskets = tuple(ArchivedEvent(
        event_id=f"h{n}", event_timestamp=at, request=basket(n * n),
        outcome=n * n * 37 % 100 > 45, known_at=at + timedelta(hours=1)) for n, at in numbers)
    looks = tuple(ArchivedEvent(
        event_id=f"l{n}", event_timestamp=at - timedelta(minutes=7), request=look(n * n),
        outcome=None) for n, at in numbers[1:])
    return with_streams(system, {
        "baskets": {"source": MarketSource(history=baskets)},
        "looks": {"source": MarketSource(history=looks)},
    })


def without_codes(system: System = MARKET) -> System:
    """The same with the service that has numbers alone."""
    return replace(system, feature_service="market_numbers")
