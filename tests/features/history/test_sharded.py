"""A view answered in shards, or in little memory, has the answers of one plan, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.features.engine.functions import FUNCTIONS
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.history.sharded.answering import _some_files
from tests.features.engine import strategies
from tests.features.engine.reference import Record, Value
from tests.features.engine.strategies import Question
from tests.features.history.events import table_of
from tests.features.history.sharding import Here, answered

MUCH, LITTLE, HARDLY_ANY = 2**28, 3_000, 300
"""With little memory busy entities are cut in time, in the end into single questions."""


@given(data=st.data(), count=st.integers(1, 2))
@settings(max_examples=10, deadline=None)
def test_whatever_has_happened_shards_and_memory_change_no_answer(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, count: int
) -> None:
    """Duplicates at other instants in several files, missing keys, ties, late arrivals."""
    view, records, asked = data.draw(strategies.cases(conflicting=True))
    folder = tmp_path_factory.mktemp("sharded")
    late = st.one_of(st.just(0), st.integers(-5, 60), st.just(3 * view.horizon))
    created = None
    if data.draw(st.booleans(), label="with arrivals"):
        created = [each.at + data.draw(late) for each in records]
        view = replace(view, created="arrived_at")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=4), label="cuts"))
    _write(folder, records, created, cuts)
    known_by = [each.as_of + data.draw(late) for each in asked] if created else None
    here = answered(folder, view, asked, known_by, None, MUCH)
    memory = data.draw(st.sampled_from((MUCH, LITTLE, HARDLY_ANY)))
    there = answered(folder, view, asked, known_by, Here(count), memory)
    np.testing.assert_array_equal(there, here)
    little = answered(folder, view, asked, known_by, None, HARDLY_ANY)
    np.testing.assert_array_equal(little, here)


@pytest.mark.parametrize("memory", [MUCH, HARDLY_ANY])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("arrived", "seen"), [
    (None, np.nan), ((700, 800), np.nan), ((800, 700), 1e-6),
])
def test_of_two_copies_of_an_event_the_first_to_arrive_counts_in_any_memory(
    tmp_path: Path, memory: int, turned: bool, arrived: tuple[int, int] | None, seen: float
) -> None:
    """Without a column that says when each arrived, what happened earlier came earlier."""
    view = WindowedView(
        name="shopping", keys=("customer",), timestamp="known_at",
        created="" if arrived is None else "arrived_at",
        aggregates=(Aggregate(name="since", function=FUNCTIONS["time_since_last"](()),
                              column="amount", window=100, slide=10),))
    values: dict[str, Value] = dict.fromkeys(("pages", "paid", "shop", "city"), None)
    values["amount"] = 1.0
    records = [Record(entity=0, at=at, id="e3", arrived=number, values=values)
               for number, at in enumerate((0, 600))]
    if turned:
        records = records[::-1]
    created = dict(zip((0, 600), arrived or (0, 600), strict=True))
    _write(tmp_path, records, [created[each.at] for each in records], [1])
    asked = [Question(0, at) for at in (601, 5, 250)]
    found = answered(tmp_path, view, asked, [850] * 3 if arrived else None, None, memory)
    np.testing.assert_array_equal(found.view(np.float32)[0], np.float32(seen))


def _write(
    folder: Path, records: Sequence[Record], created: Sequence[int] | None, cuts: Sequence[int]
) -> None:
    """The records as files of a stream, cut before these places."""
    (folder / "events").mkdir()
    whole = table_of(records, created)
    for number, (start, end) in enumerate(pairwise([0, *cuts, len(records)])):
        pq.write_table(whole.slice(start, end - start), folder / "events" / f"{number}.parquet")


@pytest.mark.parametrize(("files", "parts"), [(1, 4), (4, 4), (7, 3), (3, 1)])
def test_each_file_is_read_once(files: int, parts: int) -> None:
    read = list(_some_files(files, parts))
    assert [number for some in read for number in some] == list(range(files))
    assert len(read) == min(files, parts) and all(read)
