"""What the store remembered at any past instant, recomputed from the streams in the lake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.manifest import Chosen, load_manifest
from ml_assets.features.store import load_log
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.served import from_us, to_us

Vectors = npt.NDArray[np.float32]

RACE = timedelta(seconds=1)
"""An event may be committed while a request that was accepted so much earlier or later reads."""


class OfflineFeatures:
    """Reads the feature service of `system` as of past instants.

    names: the features, in the order of the columns that `read` returns.
    Raises UnknownName where the repository does not declare the service.
    """

    def __init__(self, settings: Settings, system: System) -> None:
        service = load_manifest(settings).service(system)
        self.names: tuple[str, ...] = service.features
        self._settings, self._chosen = settings, service.chosen
        self._lake = Lake(settings.lake)

    def read(
        self, keys: pd.DataFrame, at: pd.Series[pd.Timestamp], *,
        accepted_at: pd.Series[pd.Timestamp] | None = None,
    ) -> Vectors:
        """The features (n, F) as of each instant, in the order of the spine.

        keys: (n rows) a column for each entity key; other columns are ignored
        at:   (n) aware instants: what happened strictly before counts
        accepted_at: (n) when the row itself arrived: only what had arrived strictly before is
            seen, as it was when the prediction was made. Without it, all that is known now.

        NaN where a key is missing or a feature has no value. Raises NotReady where a stream is
        not in the lake.
        """
        known_by = None if accepted_at is None else micros(accepted_at) - 1
        return self._join([
            self._values(part, keys, micros(at), known_by=known_by) for part in self._chosen
        ], len(keys))

    def alternatives(
        self, keys: pd.DataFrame, at: pd.Series[pd.Timestamp], *,
        accepted_at: pd.Series[pd.Timestamp],
    ) -> list[Vectors]:
        """What else the online store may have given (n, F): states it was in about then.

        Of a view that is loaded in batches: the state before, or amid, the load that history
        takes for granted. Of a view that events feed: without those committed in the last
        moment before the row was accepted, or with those committed in the moment after.
        """
        log = load_log(self._settings)
        try:
            at_us, known_us = micros(at), micros(accepted_at)
            held = {
                part.view.name: [log.held(part.view, from_us(us)) for us in known_us.tolist()]
                for part in self._chosen if part.view.windowed.refresh == "slide"
            }
        finally:
            log.close()
        found = []
        for turn in range(max((len(each) for held_ in held.values() for each in held_), default=0)):
            found.append(self._join([
                self._values(part, keys, at_us, known_by=known_us - 1, head=_heads(
                    held[part.view.name], turn) if part.view.name in held else None)
                for part in self._chosen
            ], len(keys)))
        race = RACE // timedelta(microseconds=1)
        for shift in (-race, 0, race):
            found.append(self._join([
                self._values(part, keys, at_us, known_by=known_us + shift)
                for part in self._chosen
            ], len(keys)))
        return found

    def _values(
        self, part: Chosen, keys: pd.DataFrame, at: Ints, *, known_by: Ints | None,
        head: Ints | None = None,
    ) -> Floats:
        # DuckDB, and what imports this module must stay light.
        from ml_assets.features.history.ask import windowed_at

        view = part.view
        found = windowed_at(
            view.windowed, self._lake.table(view.system, view.table), keys, at,
            known_by=known_by if view.windowed.created else None, head=head,
        )
        return found[:, [view.windowed.columns.index(name) for name in part.columns]]

    def _join(self, parts: Sequence[Floats], rows: int) -> Vectors:
        with np.errstate(over="ignore"):
            return np.hstack([np.empty((rows, 0)), *parts]).astype(np.float32)


NOTHING_LOADED = -(2**62)
"""Microseconds: before every event."""


def micros(instants: pd.Series[pd.Timestamp]) -> Ints:
    """Microseconds since 1970 UTC (n) of aware instants."""
    whole = pd.to_datetime(instants, utc=True).dt.as_unit("us").astype("int64")
    return whole.to_numpy().astype(np.int64)


def _heads(held: Sequence[Sequence[datetime]], turn: int) -> Ints:
    """The turn-th state that each row's view may have been in; the last where it has fewer."""
    return np.array([
        to_us(states[min(turn, len(states) - 1)]) if states else NOTHING_LOADED
        for states in held
    ], dtype=np.int64)
