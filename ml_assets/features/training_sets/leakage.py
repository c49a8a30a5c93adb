"""An independent proof that a training set's features know nothing of their event's future."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.engine import state
from ml_assets.features.engine.columns import instants, key_column, nulls_of, slot_column
from ml_assets.features.engine.events import Events, uids
from ml_assets.features.engine.exact import Ints
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.manifest import load_manifest
from ml_assets.features.streams import read_stream

Bools = npt.NDArray[np.bool_]


def leaking_rows(settings: Settings, system: System, rows: pd.DataFrame) -> Bools:
    """Which rows (n) have a feature that the past alone does not give.

    rows: event_timestamp, accepted_at, the entity keys and the features of the system's service

    Neither Feast nor the offline engine is asked: the online engine gets only the events that
    had happened and had been accepted before the row's own, and must give the same bits.
    """
    wrong = np.zeros(len(rows), dtype=bool)
    if rows.empty:
        return wrong
    at, accepted_at = (
        rows[name].dt.as_unit("us").astype("int64").to_numpy()
        for name in ("event_timestamp", "accepted_at")
    )
    for part in load_manifest(settings).service(system).chosen:
        view = part.view.windowed
        stream = read_stream(settings, part.view)
        truth = _from_the_past(view, stream, rows, at, accepted_at).astype(np.float32)
        places = [view.columns.index(name) for name in part.columns]
        found = rows[list(part.columns)].to_numpy(dtype=np.float32)
        same = (found == truth[:, places]) | (np.isnan(found) & np.isnan(truth[:, places]))
        wrong |= ~same.all(axis=1)
    return wrong


def _from_the_past(
    view: WindowedView, stream: pa.Table, rows: pd.DataFrame, at: Ints, accepted_at: Ints
) -> npt.NDArray[np.float64]:
    """The features (n, F), each row's from a state of its own that holds only its past."""
    past = _packed(view, stream)
    keyed = pa.Table.from_pandas(rows[[*view.keys, "event_timestamp"]], preserve_index=False)
    keys = key_column(keyed, view.keys, view.name)
    as_of = view.as_of(at)
    blobs = []
    for key, until, known_by in zip(keys, as_of.tolist(), accepted_at.tolist(), strict=True):
        happened, arrived, packed = past.get(key or b"", _NOTHING)
        seen = (happened < until) & (arrived < known_by)
        blobs.append(state.fresh(b"".join(packed[place] for place in np.flatnonzero(seen))))
    found = state.read(view, blobs, as_of)
    found[[key is None for key in keys]] = np.nan
    return found


Past = tuple[Ints, Ints, list[bytes]]
_NOTHING: Past = (np.empty(0, np.int64), np.empty(0, np.int64), [])


def _packed(view: WindowedView, stream: pa.Table) -> dict[bytes, Past]:
    """For each entity: when its events happened, when they arrived, and their rows of state."""
    keys = key_column(stream, view.keys, view.name)
    there = np.array([key is not None for key in keys], dtype=bool)
    there &= ~nulls_of(stream[view.timestamp])
    stream = stream.filter(pa.array(there))
    known = [key for key, kept in zip(keys, there.tolist(), strict=True) if kept and key]
    happened = instants(stream[view.timestamp], view.timestamp, view.name)
    arrived = instants(stream[view.created], view.created, view.name) if view.created else happened
    events = Events(
        entity=np.zeros(len(known), np.int64), at=happened,
        uid=uids(stream[view.event_id].to_pylist()),
        values={slot: slot_column(view, slot, stream[slot.column]) for slot in view.slots},
    )
    packed = state.pack(view, events)
    found: dict[bytes, tuple[list[int], list[int], list[bytes]]] = {}
    counted: set[tuple[bytes, int]] = set()
    for place in np.lexsort((happened, arrived)).tolist():
        name = (known[place], int(events.uid[place]))
        if name not in counted:
            counted.add(name)
            mine = found.setdefault(known[place], ([], [], []))
            mine[0].append(int(happened[place]))
            mine[1].append(int(arrived[place]))
            mine[2].append(packed[place])
    return {
        key: (np.array(when, np.int64), np.array(since, np.int64), some)
        for key, (when, since, some) in found.items()
    }
