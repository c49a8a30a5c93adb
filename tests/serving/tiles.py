"""The toy system's one feature in a real online state."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from ml_assets.core.settings import Settings
from ml_assets.core.storage.database import Database
from ml_assets.core.system import System
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.online import OnlineState
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.service import Chosen, Service, View
from ml_assets.features.store import open_backend
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.serving.composition import Backends
from tests.serving.kit import FakeFeatures, Toy
from tests.toy import TOY

WEEK = timedelta(days=7) // timedelta(microseconds=1)
SHOPPING = WindowedView(
    name="toy_shop", keys=("shop",), timestamp="event_timestamp",
    aggregates=(Aggregate(name="returns_7d", function=parse_function("count", "test"), column="",
                          window=WEEK, slide=WEEK // 7),),
)
SERVICE = Service(name=TOY.feature_service, chosen=(Chosen(
    view=View(name=SHOPPING.name, system=TOY.name, table="events", windowed=SHOPPING,
              definition=digest_of(SHOPPING)),
    columns=("returns_7d",),
),))


def tiles(
    connection: Database, settings: Settings, system: System = TOY, *,
    budget: timedelta = timedelta(seconds=30),
) -> OnlineState:
    """How many events a shop had in the last seven days."""
    with closing(open_backend(settings)) as store:
        store.register(SHOPPING.name, digest_of(SHOPPING))
    return OnlineState(connection, settings, system, SERVICE, budget=budget)


@dataclass(kw_only=True)
class CountingToy(Toy):
    """The toy on the real online state; the fake one's failures are not its own."""

    def backends(self) -> Backends:
        return replace(super().backends(), state=lambda system, connection: tiles(
            connection, self.settings, system))


class FakeReads:
    """The real online state, but for the features that it reads."""

    def __init__(self, real: OnlineState, fake: FakeFeatures) -> None:
        self.real, self.read = real, fake.read

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@dataclass(kw_only=True)
class ScoredToy(Toy):
    """What it reads is what the fake history gives."""

    def backends(self) -> Backends:
        return replace(super().backends(), state=lambda system, connection: FakeReads(
            tiles(connection, self.settings, system), self.features))


def counted(settings: Settings, shop: str, at: datetime) -> int:
    """What the state knows of a shop, read anew."""
    with closing(EventLog(settings.event_log)) as log:
        found, *_ = tiles(log.connection, settings).read([{"shop": shop}], [at])
    return int(np.nan_to_num(found[0, 0]))
