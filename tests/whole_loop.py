"""A tiny system's whole loop on the real stores: history, training, the API, closed days."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from ml_assets.automation.jobs import jobs_of
from ml_assets.core.assets import flatten
from ml_assets.core.model import FullBatch, HashedText
from ml_assets.core.policies import Gate
from ml_assets.core.profiles.cluster import Cluster
from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.core.truths import Outcomes
from ml_assets.definitions import FLOW
from ml_assets.ingest.resources import lake_resource
from ml_assets.replay.runs import Runs
from ml_assets.serving.composition import Backends
from tests.repositories import repository_of as repository_of
from tests.serving.kit import Toy
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


@dataclass(kw_only=True)
class WholeLoop(Toy):
    """An installation that has taken in its history and serves its first model."""

    system: System = WHOLE

    def __post_init__(self) -> None:
        self.clock.set(self.system.calendar.live_from)

    @property
    def runs(self) -> Runs:
        """Runs of the real jobs, in this process; each raises NotReady if it is stopped."""
        parts = flatten(room.build(self.system) for room in FLOW)
        checks = [part for part in parts if isinstance(part, dg.AssetChecksDefinition)]
        return Runs(
            system=self.system, settings=self.settings, instance=self._instance,
            definitions=dg.Definitions(
                assets=[part for part in parts if part not in checks], asset_checks=checks,
                jobs=jobs_of(self.system), executor=dg.in_process_executor,
                resources={"settings": self.settings,
                           "duckdb": lake_resource(self.settings, [self.system])},
            ),
        )

    def backends(self) -> Backends:
        return Backends.of(self.settings)

    def begin(self, instance: dg.DagsterInstance) -> None:
        """Take in the history, train the first model and deploy it."""
        self._instance = instance
        self.runs.history(self.system.calendar.go_live)
        self.runs.retraining({"ml_assets/reason": "first"})

    def close(self, day: date) -> datetime:
        """Take in a day that is over, as every night does; the instant at which that is."""
        end = midnight(day) + DAY
        self.clock.set(end)
        self.runs.day(day)
        return end


@contextmanager
def whole_loop(
    folder: Path, system: System = WHOLE, cluster: Cluster | None = None
) -> Iterator[WholeLoop]:
    """cluster: the servers that it runs on, as the environment has to say too; else it is local"""
    with repository_of(folder / "repository", system), dg.DagsterInstance.ephemeral() as instance:
        loop = WholeLoop(settings=Settings(var=folder / "var", cluster=cluster), system=system)
        loop.begin(instance)
        yield loop
