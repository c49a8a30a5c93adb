"""What the store remembered at any past instant, recomputed from the streams in the lake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, EARLIEST
from ml_assets.features.derived.alone import Alone
from ml_assets.features.derived.computing import Deriving
from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.history.prefix import LoadedRows, Prefix
from ml_assets.features.manifest import load_manifest
from ml_assets.features.service import Chosen, ChosenRows, TableView, View
from ml_assets.features.sharing.days import require_days
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.served import from_us, to_us

if TYPE_CHECKING:
    from ml_assets.features.history.lookup import Lookup
    from ml_assets.features.history.relations.duck import Connection
    from ml_assets.features.history.spine import Spine

Vectors = npt.NDArray[np.float32]


class OfflineFeatures:
    """Reads the feature service of `system` as of past instants.

    names: the features, in the order of the columns that `read` returns.
    keys: the entity keys; columns: those of events that it needs: keys, and what derived features
        read
    Raises UnknownName where the repository does not declare the service.
    """

    def __init__(self, settings: Settings, system: System) -> None:
        manifest = load_manifest(settings)
        service = manifest.service(system)
        self.names: tuple[str, ...] = service.features
        self._settings, self._service = settings, service
        self._system, self._owners = system.name, manifest.owners(system)
        self._chosen, self._kept = service.chosen, service.kept
        self._deriving = Deriving(service.derived, service.read)
        self.keys = service.keys
        self.columns = (*self.keys, *self._deriving.columns)
        self._lake = Lake(settings.lake)

    def read(
        self, keys: pd.DataFrame, at: pd.Series[pd.Timestamp], *,
        accepted_at: pd.Series[pd.Timestamp] | None = None,
    ) -> Vectors:
        """The features (n, F) as of each instant, in the order of the spine.

        keys: (n rows) at least `columns`; others are ignored
        at:   (n) aware instants: what happened strictly before counts
        accepted_at: (n) when the row itself arrived: only what had arrived strictly before is
            seen. Without it, all that is known now.

        NaN where a key is missing or a feature has no value. Raises NotReady where a stream is
        not in the lake.
        """
        known_by = None if accepted_at is None else micros(accepted_at) - 1
        vectors = self._join([
            *(self._values(part, keys, micros(at), known_by=known_by) for part in self._chosen),
            *(self._rows(part, keys, micros(at)) for part in self._kept),
        ], len(keys))
        return self.derived(vectors, keys)

    def lookups(self, con: Connection, spine: Spine) -> list[Lookup]:
        """What `read` asks of each view, for a spine of any length that says when its rows arrived.

        Their answers have, in order, the features that `derived` begins with. Raises NotReady.
        """
        from ml_assets.features.history.ask import WindowedNumbers
        from ml_assets.features.history.kept import KeptNumbers

        at = np.array([spine.low, spine.high])
        for part in self._service.parts:
            require_days(
                self._lake, self._system, self._owners[part.view.system], part.view, at)
        return [
            *(WindowedNumbers(
                con, part.view.windowed, self._folder(part.view), part.columns, spine,
                since=first_day(part.view.windowed, at)) for part in self._chosen),
            *(KeptNumbers(
                con, self._folder(part.view), part.view.keys, part.columns, part.view.plain.ttl,
                spine) for part in self._kept),
        ]

    def _folder(self, view: View | TableView) -> Path:
        return self._lake.table(view.system, view.table)

    def alone(self, count: int) -> Alone:
        """Sees whether what is derived of so many rows depends on each row alone."""
        return Alone(self._deriving, count)

    def read_at(
        self, keys: pd.DataFrame, at: pd.Series[pd.Timestamp], positions: Ints
    ) -> Vectors:
        """The same features from what the online state had counted at `positions` of the log.

        positions: (n) the `state_seq` of predictions; only what lies up to it is seen
        """
        log = EventLog(self._settings.event_log)
        try:
            loads = {part.view.name: log.loads(part.view.name, part.view.definition)
                     for part in self._service.parts}
        finally:
            log.close()
        vectors = self._join([
            *(self._values(part, keys, micros(at), prefix=Prefix(
                upto=positions, loads=loads[part.view.name])) for part in self._chosen),
            *(self._rows(part, keys, micros(at), LoadedRows(
                upto=positions, loads=loads[part.view.name])) for part in self._kept),
        ], len(keys))
        return self.derived(vectors, keys)

    def derived(self, vectors: Vectors, keys: pd.DataFrame) -> Vectors:
        """All features, of those that the views give.

        What is derived is missing if a column is: of pairs that are scored before any event.
        """
        if set(self._deriving.columns) <= set(keys):
            return self._deriving(vectors, {name: keys[name] for name in self._deriving.columns})
        nothing = np.full((len(keys), len(self.names) - vectors.shape[1]), np.nan, np.float32)
        return np.hstack([vectors, nothing])

    def _values(
        self, part: Chosen, keys: pd.DataFrame, at: Ints, *, known_by: Ints | None = None,
        prefix: Prefix | None = None,
    ) -> Floats:
        # DuckDB, and what imports this module must stay light.
        from ml_assets.features.history.ask import windowed_at

        view = part.view
        require_days(self._lake, self._system, self._owners[view.system], view, at)
        found = windowed_at(
            view.windowed, self._folder(view), keys, at,
            known_by=known_by if view.windowed.created else None, prefix=prefix,
            since=first_day(view.windowed, at),
        )
        return found[:, [view.windowed.columns.index(name) for name in part.columns]]

    def _rows(
        self, part: ChosenRows, keys: pd.DataFrame, at: Ints, loaded: LoadedRows | None = None
    ) -> Floats:
        from ml_assets.features.history.kept import kept_at

        view = part.view
        require_days(self._lake, self._system, self._owners[view.system], view, at)
        return kept_at(self._folder(view), view.keys, part.columns,
                       view.plain.ttl, keys, at, loaded=loaded)

    def _join(self, parts: Sequence[Floats], rows: int) -> Vectors:
        with np.errstate(over="ignore"):
            return np.hstack([np.empty((rows, 0)), *parts]).astype(np.float32)


def first_day(view: WindowedView, at: Ints) -> date | None:
    """The earliest day of a stream's table that a reader at one of `at` can see."""
    if not len(at):
        return None
    # Rows are filed by when they arrived: later than they happened, if not a client's clock was
    # ahead, and then by less than a day.
    earliest = max(int(at.min()) - view.reach, to_us(EARLIEST))
    return (from_us(earliest) - DAY).date()


def micros(instants: pd.Series[pd.Timestamp]) -> Ints:
    """Microseconds since 1970 UTC (n) of aware instants."""
    whole = pd.to_datetime(instants, utc=True).dt.as_unit("us").astype("int64")
    return whole.to_numpy().astype(np.int64)

