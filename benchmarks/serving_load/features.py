"""The twenty features that the store supplies: five for each of four entities.

THE SEAM. `open_reader` and `prepare` are all that the rest of the benchmark knows of the store.
Until the platform's online store can hold features of a system outside of `SYSTEMS`, a
stand-in answers: SQLite in WAL mode with one packed row for each entity, about the cheapest
thing that could (22 us a read in our notes), but it counts no events. Whoever replaces it
needs to change this file only; `STAND_IN` then goes, and with it the line that every report
carries.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.serving_load.system import KEYS
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.serving.lookup import FeatureReader

STAND_IN = True
"""Whether features come from the stand-in below instead of the platform's online store."""

OF_ENTITY = ("events_1d", "events_7d", "events_30d", "amount_7d", "amount_30d")
NAMES = tuple(f"{key}_{name}" for key in KEYS for name in OF_ENTITY)
"""The features in the order in which the model reads them."""


def prepare(settings: Settings, keys: Sequence[Mapping[str, str]]) -> None:
    """Fill the store with a past of the entities in `keys`."""
    random = np.random.default_rng(5)
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("pragma journal_mode=wal")
        db.execute("create table memory (entity text primary key, numbers blob) without rowid")
        db.executemany("insert into memory values (?, ?)", [
            (entity, random.lognormal(0, 1, len(OF_ENTITY)).astype("<f4").tobytes())
            for entity in sorted({f"{key}={row[key]}" for row in keys for key in KEYS})
        ])


def open_reader(settings: Settings, system: System) -> FeatureReader:
    """The reader that the server is given, for its own thread."""
    return StandIn(_path(settings))


def miscounted(settings: Settings, keys: Sequence[Mapping[str, str]]) -> int | None:
    """Of the entities in `keys`, those whose events the store has not counted once each.

    None where the store counts nothing, as the stand-in does.
    """
    return None


class StandIn:
    """Reads what `prepare` wrote, whatever the instant; an entity without a past is NaN."""

    names: tuple[str, ...] = NAMES

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path)

    def read(
        self, keys: Sequence[Mapping[str, str]], at: Sequence[datetime]
    ) -> tuple[npt.NDArray[np.float32], list[datetime]]:
        width = len(OF_ENTITY)
        found = np.full((len(keys), len(NAMES)), np.nan, np.float32)
        for row, event in enumerate(keys):
            wanted = [f"{key}={event[key]}" for key in KEYS]
            rows = dict(self._db.execute(
                "select entity, numbers from memory where entity in (?, ?, ?, ?)", wanted
            ))
            for place, entity in enumerate(wanted):
                if entity in rows:
                    found[row, place * width : (place + 1) * width] = np.frombuffer(
                        rows[entity], "<f4"
                    )
        return found, list(at)

    def remember(
        self, connection: sqlite3.Connection, events: Sequence[Mapping[str, object]]
    ) -> None:
        """Counts nothing: a stand-in."""


def _path(settings: Settings) -> Path:
    return settings.var / "stand_in.sqlite"
