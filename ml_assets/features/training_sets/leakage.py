"""An independent proof that a training set's features know nothing of their event's future."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.engine.columns import key_column
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.manifest import load_manifest
from ml_assets.features.online_store.versions import PlainView
from ml_assets.features.service import Chosen, ChosenRows
from ml_assets.features.training_sets import LARGEST_SAMPLE
from ml_assets.features.training_sets.labelled import lot
from ml_assets.features.training_sets.sweep import Readers, read_from_the_past
from ml_assets.features.training_sets.table_sweep import rows_from_the_past

Bools = npt.NDArray[np.bool_]

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """Of n rows: which were examined, and which of these have a feature that the past alone does
    not give.
    """

    examined: Bools
    leaking: Bools

    @property
    def unseen(self) -> float:
        """See `unseen`."""
        return unseen(self.examined)


def unseen(examined: Bools) -> float:
    """The share of leaking rows from which on at least one is examined, with CONFIDENCE.

    0 if all rows are examined. With a smaller share p of n rows examined, the chance that
    none leaks is at most (1 - p)^n.
    """
    count = int(examined.sum())
    if count == len(examined):
        return 0.0
    return float(1 - (1 - CONFIDENCE) ** (1 / count))


def find_leaks(
    settings: Settings, system: System, rows: pd.DataFrame, *, at_most: int = LARGEST_SAMPLE
) -> Leaks:
    """Compute the features of (a sample of) `rows` once more from their past alone.

    rows: event_id, event_timestamp, accepted_at, the entity keys and the features of the system's
    service

    Neither Feast nor the offline engine is asked: the online engine gets only the events that
    had happened and had been accepted before the row's own, and the rows of tables that were known
    by then, and must give the same bits.
    """
    examined = sample(rows["event_id"].tolist(), at_most)
    leaking = np.zeros(len(rows), dtype=bool)
    if len(rows):
        leaking[examined] = _leaking(settings, system, rows[examined])
    return Leaks(examined=examined, leaking=leaking)


def sample(event_ids: Iterable[str], size: int) -> Bools:
    """Which `size` of n events are examined; all if there are no more. Their order is no matter."""
    lots = np.fromiter(map(lot, event_ids), dtype=np.uint64)
    chosen = np.ones(len(lots), dtype=bool)
    chosen[np.argsort(lots, kind="stable")[size:]] = False
    return chosen


def _leaking(settings: Settings, system: System, rows: pd.DataFrame) -> Bools:
    wrong = np.zeros(len(rows), dtype=bool)
    at, accepted_at = (
        rows[name].dt.as_unit("us").astype("int64").to_numpy()
        for name in ("event_timestamp", "accepted_at")
    )
    service = load_manifest(settings).service(system)
    for part in service.chosen:
        view = part.view.windowed
        truth = read_from_the_past(settings, part.view, Readers(
            keys=_keys(rows, view), as_of=view.as_of(at), known_by=accepted_at,
        )).astype(np.float32)
        wrong |= _differ(rows, part, truth[:, [view.columns.index(name) for name in part.columns]])
    for kept in service.kept:
        truth = rows_from_the_past(settings, kept, _keys(rows, kept.view.plain), at)
        wrong |= _differ(rows, kept, truth)
    return wrong


def _keys(rows: pd.DataFrame, view: WindowedView | PlainView) -> list[bytes | None]:
    table = pa.Table.from_pandas(rows[[*view.keys, "event_timestamp"]], preserve_index=False)
    return key_column(table, view.keys, view.name)


def _differ(
    rows: pd.DataFrame, part: Chosen | ChosenRows, truth: npt.NDArray[np.float32]
) -> Bools:
    found = rows[list(part.columns)].to_numpy(dtype=np.float32)
    same = (found == truth) | (np.isnan(found) & np.isnan(truth))
    differ: Bools = ~np.all(same, axis=1)
    return differ
