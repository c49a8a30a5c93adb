"""A tiny system's whole loop on the real stores: history, training, the API, closed days."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import dagster as dg

from ml_assets.automation.jobs import jobs_of
from ml_assets.core.assets import flatten
from ml_assets.core.profiles.cluster import Cluster
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.definitions import FLOW
from ml_assets.ingest.resources import lake_resource
from ml_assets.replay.runs import Runs
from ml_assets.serving.composition import Backends
from tests.recorded_toy import BAD as BAD
from tests.recorded_toy import WHOLE as WHOLE
from tests.recorded_toy import recorded as recorded
from tests.repositories import repository_of as repository_of
from tests.serving.kit import Toy


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
        self.take_in_history(instance)
        self.runs.retraining({"ml_assets/reason": "first"})

    def take_in_history(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self.runs.history(self.system.calendar.go_live)

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
