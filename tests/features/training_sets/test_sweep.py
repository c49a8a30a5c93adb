"""One walk through a stream gives each reader what a state of its own would have given it."""

from __future__ import annotations

import random
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.time import DAY, midnight
from ml_assets.features.engine import state
from ml_assets.features.engine.columns import instants, key_column, slot_column
from ml_assets.features.engine.events import Events, uids
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.manifest import load_manifest
from ml_assets.features.online_store.following.lake_stream import read_stream
from ml_assets.features.service import View
from ml_assets.features.training_sets import sweep
from ml_assets.features.training_sets.sweep import Readers, read_from_the_past
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import events_schema
from ml_assets.systems.spam import SPAM
from tests.features.recorded import first_days

DAYS = first_days(SPAM, 45)
VIEWS = [view for view in load_manifest(Settings()).service(SPAM).views if view.table == "events"]


def happen(settings: Settings, seed: int) -> pd.DataFrame:
    """Events of few senders, most of them taken in late, each by the day on which it arrived."""
    draw = random.Random(seed)
    rows = []
    for _ in range(1500):
        at = midnight(DAYS[0]) + draw.random() * 40 * DAY
        row: dict[str, object] = {
            column.name: 0.0 if column.dtype == "number" else "" for column in SPAM.columns}
        row |= {"event_id": f"e{draw.randrange(1400)}", "event_timestamp": at, "log_seq": None,
                "accepted_at": at + draw.choice([timedelta(0), draw.random() * 3 * DAY])}
        row |= {key: draw.choice(["", "rare", *(f"{key} {n}" for n in range(3))])
                for key in SPAM.keys}
        rows.append(row)
    schema = events_schema(SPAM)
    events = pd.DataFrame(rows, columns=schema.names)
    for day in DAYS:
        Lake(settings.lake).write(
            SPAM.name, "events", day, events[events["accepted_at"].dt.date == day], schema)
    return events


def alone(settings: Settings, view: View, readers: Readers) -> npt.NDArray[np.float64]:
    """Each reader's features from a state that holds only its past: slow, and plainly right."""
    windowed = view.windowed
    stream = read_stream(Lake(settings.lake), windowed, view.system, view.table)
    keys = key_column(stream, windowed.keys, windowed.name)
    happened, arrived = (instants(stream[name], name, view.name)
                         for name in (windowed.timestamp, windowed.created))
    names = uids(stream[windowed.event_id].to_pylist())
    packed = state.pack(windowed, Events(
        entity=np.zeros(len(keys), np.int64), at=happened, uid=names,
        values={slot: slot_column(windowed, slot, stream[slot.column])
                for slot in windowed.slots}))
    blobs = []
    for key, as_of, known_by in zip(readers.keys, readers.as_of, readers.known_by, strict=True):
        counted: dict[int, bytes] = {}
        for place in np.lexsort((happened, arrived)):
            if keys[place] == key and arrived[place] < known_by:
                counted.setdefault(int(names[place]), packed[place] if happened[place] < as_of
                                   else b"")
        blobs.append(state.fresh(b"".join(counted.values())))
    found = state.read(windowed, blobs, readers.as_of)
    found[[key is None for key in readers.keys]] = np.nan
    return found


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_walk_gives_each_reader_what_a_state_of_its_own_gives(
    settings: Settings, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit, also for events and readers that come late, and whenever states are read."""
    monkeypatch.setattr(sweep, "AT_ONCE", 20_000)
    events = happen(settings, seed=3)
    rows = events.sample(60, random_state=1)
    at, known_by = (rows[name].dt.as_unit("us").astype("int64").to_numpy()
                    for name in ("event_timestamp", "accepted_at"))
    [key] = view.windowed.keys
    readers = Readers(keys=[each.encode() or None for each in rows[key]],
                      as_of=view.windowed.as_of(at), known_by=known_by)
    found, expected = (np.asarray(read(settings, view, readers)).tobytes()
                       for read in (read_from_the_past, alone))
    assert found == expected


def test_states_of_busy_entities_are_folded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a walk would hold all that ever happened to them."""
    sizes: list[int] = []
    fold = state.fold

    def counted(view: WindowedView, blob: bytes, newest: int | None = None) -> bytes:
        sizes.append(len(blob))
        return fold(view, blob, newest)

    monkeypatch.setattr(state, "fold", counted)
    events = happen(settings, seed=4).sort_values("accepted_at").tail(20)
    last = np.full(20, events["accepted_at"].dt.as_unit("us").astype("int64").max())
    read_from_the_past(settings, VIEWS[0], Readers(
        keys=[each.encode() or None for each in events[VIEWS[0].windowed.keys[0]]],
        as_of=last, known_by=last))
    assert sizes
