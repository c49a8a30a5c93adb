"""All that `ml-assets check` looks at, in the order in which it would go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ml_assets.core.errors import FetchError, MlAssetsError
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import WallClock
from ml_assets.projects.check.columns import about_columns
from ml_assets.projects.check.finding import Noted, fail
from ml_assets.projects.check.history import RecordedHistory
from ml_assets.projects.check.labels import about_labels
from ml_assets.projects.check.rows import about_days, about_features, about_rows
from ml_assets.projects.check.tables import about_tables
from ml_assets.projects.survey import WithoutRows, surveyed


def examine(system: System, settings: Settings | None = None) -> Iterator[Noted]:
    """What was found, while it is found. Reads the recorded history once; runs nothing."""
    settings = settings or Settings.from_environment()
    yield about_features(system, settings)
    yield from about_history(system, settings)


def about_history(system: System, settings: Settings) -> Iterator[Noted]:
    """What was found in its recorded events, and in its tables beside them."""
    history = RecordedHistory(system=system)
    try:
        fetched = system.source.fetch(settings.cache)
        with surveyed(EventTexts(history=history), fetched) as survey:
            yield from about_rows(history)
            yield from about_days(history, WallClock().now().date())
            yield from about_labels(history)
            yield from about_columns(system, survey)
            yield from about_tables(system, settings, survey)
    except WithoutRows as error:
        yield from about_rows(history) if history.unusable else [fail("source", str(error), "")]
    except FetchError as error:
        if history.unusable:
            yield from about_rows(history)
        yield fail("source", str(error), "")
    except MlAssetsError as error:
        yield fail("source", str(error), "")


@dataclass(frozen=True, kw_only=True)
class EventTexts:
    """A system's history as rows."""

    history: RecordedHistory

    def fetch(self, cache: Path) -> Path:
        return self.history.system.source.fetch(cache)

    def batches(self, fetched: Path) -> Iterator[pa.RecordBatch]:
        return self.history.batches(self.history.system.source.archive(fetched))
