"""Windowed views asked directly, without Feast, against the plain reference."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import ContractViolation, NotReady
from ml_assets.core.settings import ROOT
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.history import arrivals
from ml_assets.features.history.ask import windowed_at
from tests.features.engine import strategies
from tests.features.engine.reference import Record, answers, disagreements
from tests.features.engine.strategies import Question
from tests.features.history.events import happened, instants, keys_of, table_of


def in_order_of_arrival(records: Sequence[Record], created: Sequence[int] | None) -> list[Record]:
    """By `created`, then by when they happened, then as they stand."""
    order = sorted(range(len(records)), key=lambda place: (
        created[place] if created else 0, records[place].at, place
    ))
    arrived = {place: rank for rank, place in enumerate(order)}
    return [replace(each, arrived=arrived[place]) for place, each in enumerate(records)]


@given(case=strategies.cases(conflicting=True), data=st.data())
@settings(max_examples=60, deadline=None)
def test_asked_directly_every_feature_is_what_the_reference_says(
    tmp_path_factory: pytest.TempPathFactory,
    case: tuple[WindowedView, list[Record], list[Question]], data: st.DataObject,
) -> None:
    """Duplicates, missing keys, ties; with arrivals, only what had arrived by then."""
    view, records, asked = case
    created = None
    known_by: list[int] = []
    if data.draw(st.booleans(), label="with arrivals"):
        late = st.one_of(st.just(0), st.integers(-5, 60), st.just(3 * view.horizon))
        created = [each.at + data.draw(late) for each in records]
        view = replace(view, created="arrived_at")
        known_by = [each.as_of + data.draw(late) for each in asked]
    folder = tmp_path_factory.mktemp("events")
    cut = data.draw(st.integers(0, len(records)), label="second file from")
    pq.write_table(table_of(records, created).slice(0, cut), folder / "1.parquet")
    pq.write_table(table_of(records, created).slice(cut), folder / "2.parquet")
    as_of = [view.as_of(each.as_of) for each in asked]
    with pytest.MonkeyPatch.context() as patch:
        # So that the late ones do not all fit at once.
        patch.setattr(arrivals, "AT_ONCE", 3)
        found = windowed_at(
            view, folder, keys_of(asked), instants([each.as_of for each in asked]),
            known_by=instants(known_by) if created else None,
        )
    assert found.shape == (len(asked), len(view.columns))
    arrived = in_order_of_arrival(records, created)
    for place, question in enumerate(asked):
        seen = [
            each for number, each in enumerate(arrived)
            if created is None or created[number] <= known_by[place]
        ]
        expected = answers(view, seen, question.entity, as_of[place])
        assert not disagreements(expected, found[place].tolist()), question


def view_of(function: str, column: str) -> WindowedView:
    return WindowedView(
        name="shopping", keys=("customer",), timestamp="known_at", aggregates=(Aggregate(
            name="it", function=parse_function(function, "a test"), column=column,
            window=strategies.DAY, slide=strategies.HOUR,
        ),),
    )


def test_a_whole_number_that_is_not_exact_as_a_float_is_refused(tmp_path: Path) -> None:
    for pages, fits in ((2**53, True), (2**53 + 1, False), (-(2**53) - 1, False)):
        record = happened(0, 0, 1, None, pages=pages)
        asked = keys_of([Question(0, 0)]), instants([record.at + 1])
        pq.write_table(table_of([record]), tmp_path / "events.parquet")
        if fits:
            assert windowed_at(view_of("sum", "pages"), tmp_path, *asked).tolist() == [[pages]]
            continue
        with pytest.raises(ContractViolation, match=f"'pages' has the value {pages}; expected at"):
            windowed_at(view_of("sum", "pages"), tmp_path, *asked)


def test_an_event_without_an_id_is_refused(tmp_path: Path) -> None:
    rows = table_of([happened(0, 0, 1, 2.0)]).drop("event_id").append_column(
        "event_id", pa.nulls(1, pa.string())
    )
    pq.write_table(rows, tmp_path / "events.parquet")
    with pytest.raises(ContractViolation, match="column 'event_id' is null; every event needs an"):
        windowed_at(
            view_of("count", ""), tmp_path, keys_of([Question(0, 0)]), instants([2**60])
        )


def test_events_that_are_not_in_the_lake_are_not_ready(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match=r"materialise the asset .*, which writes it, first"):
        windowed_at(view_of("count", ""), tmp_path / "none", keys_of([]), instants([]))
    pq.write_table(table_of([]), tmp_path / "events.parquet")
    assert windowed_at(view_of("count", ""), tmp_path, keys_of([]), instants([])).shape == (0, 1)
    asked = keys_of([Question(0, 0), Question(-1, 0)])
    found = windowed_at(view_of("count", ""), tmp_path, asked, instants([0, 0]))
    np.testing.assert_array_equal(found, [[0], [np.nan]])


def test_asking_directly_costs_no_import_of_feast() -> None:
    """Which takes seconds, in every process that serves."""
    code = "import sys, ml_assets.features.history.ask; sys.exit('feast' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
