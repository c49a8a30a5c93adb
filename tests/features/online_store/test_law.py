"""What is read from a store is what the offline engine computes, whatever came in what order."""

from __future__ import annotations

from itertools import count

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.features.engine import state
from ml_assets.features.engine.history import aggregate
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store import reader as reading
from ml_assets.features.online_store.backend import Backend
from ml_assets.features.online_store.counting import apply_events, apply_rows
from ml_assets.features.online_store.reader import FeatureReader, Wanted
from tests.features.engine.reference import Record, events_of
from tests.features.engine.strategies import histories, questions, views
from tests.features.online_store.kit import OpenBackend, event, in_order, registered

_projects = count()

ARROW = pa.schema([
    ("customer", pa.string()), ("known_at", pa.timestamp("us", tz="UTC")),
    ("event_id", pa.string()), ("amount", pa.float64()), ("pages", pa.int64()),
    ("paid", pa.bool_()), ("shop", pa.string()), ("city", pa.string()),
])


@pytest.fixture(autouse=True)
def _fold_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "FOLD_ROWS", 3)
    monkeypatch.setattr(reading, "_FEW_BLOBS", 1)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_online_and_offline_agree_for_every_entity_and_instant(
    open_backend: OpenBackend, data: st.DataObject
) -> None:
    """As of the instant that the reader says it is, which is the asked one or a later one."""
    view = data.draw(views())
    records = data.draw(histories(view, conflicting=True))
    backend = open_backend(f"example {next(_projects)}")
    registered(backend, view)
    applied: list[Record] = []
    while len(applied) < len(records):
        size = data.draw(st.integers(1, 9))
        batch = records[len(applied) : len(applied) + size]
        applied += _apply(view, backend, batch, as_table=data.draw(st.booleans()))
    reader = FeatureReader(backend, [Wanted(view, view.columns)])
    asked = data.draw(st.lists(questions(view, records, heads=False), min_size=1, max_size=9))
    found, as_of, _ = reader.read(
        [event(Record(entity=each.entity, at=0, id="", arrived=0, values={})) for each in asked],
        np.array([each.as_of for each in asked]),
    )
    wanted = aggregate(
        view, events_of(view, in_order(applied)),
        entity=np.array([each.entity for each in asked]), as_of=view.as_of(as_of),
    )
    np.testing.assert_array_equal(found, wanted.astype(np.float32))
    assert (as_of >= [each.as_of for each in asked]).all()
    backend.close()


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_reader_that_remembers_gives_what_one_gives_that_does_not(
    open_backend: OpenBackend, data: st.DataObject
) -> None:
    """As of any instants, in any order, whatever happens in between."""
    view = data.draw(views())
    records = data.draw(histories(view, conflicting=True))
    backend = open_backend(f"example {next(_projects)}")
    registered(backend, view)
    reader, applied = FeatureReader(backend, [Wanted(view, view.columns)]), 0
    while applied < len(records):
        batch = records[applied : applied + data.draw(st.integers(1, 9))]
        applied += len(batch)
        _apply(view, backend, batch, as_table=False)
        for _ in range(data.draw(st.integers(1, 3))):
            asked = data.draw(st.lists(questions(view, records, heads=False), min_size=2,
                                       max_size=5))
            keys = [event(Record(entity=each.entity, at=0, id="", arrived=0, values={}))
                    for each in asked]
            at = np.full(len(asked), asked[0].as_of)
            found = reader.read(keys, at)
            wanted = FeatureReader(backend, [Wanted(view, view.columns)]).read(keys, at)
            for mine, other in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(mine, other)
    backend.close()


def _apply(
    view: WindowedView, backend: Backend, batch: list[Record], *, as_table: bool
) -> list[Record]:
    """Returns them in the order in which they counted."""
    events = [event(record) for record in batch]
    if not as_table:
        apply_events(view, backend, backend.views()[view.name].id, events)
        return batch
    apply_rows(view, backend, pa.Table.from_pylist(events, schema=ARROW))
    # Of what arrives at once, what happened earlier came earlier.
    return sorted(batch, key=lambda record: record.at)
