"""A view that is answered in shards has the answers of one plan, to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.features.history.sharded.answering import _some_files
from tests.features.engine import strategies
from tests.features.history.events import table_of
from tests.features.history.sharding import Here, answered


@pytest.mark.parametrize(("conflicting", "memory"), [(True, 2**28), (False, 3_000)])
@given(data=st.data(), count=st.integers(1, 2))
@settings(max_examples=8, deadline=None)
def test_whatever_has_happened_shards_have_the_answers_of_one_plan(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, count: int, conflicting: bool,
    memory: int,
) -> None:
    """Duplicates in several files, missing keys, ties, late arrivals; with little memory too.

    With little memory busy entities are cut in time, which expects of a lake what it promises: that
    each event is there once.
    """
    view, records, asked = data.draw(strategies.cases(conflicting=conflicting))
    folder = tmp_path_factory.mktemp("sharded")
    late = st.one_of(st.just(0), st.integers(-5, 60), st.just(3 * view.horizon))
    created = None
    if data.draw(st.booleans(), label="with arrivals"):
        created = [each.at + data.draw(late) for each in records]
        view = replace(view, created="arrived_at")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=4), label="cuts"))
    (folder / "events").mkdir()
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(records)], strict=True)):
        part = table_of(records, created).slice(start, end - start)
        pq.write_table(part, folder / "events" / f"{number}.parquet")
    known_by = [each.as_of + data.draw(late) for each in asked] if created else None
    here = answered(folder, view, asked, known_by, None, memory)
    there = answered(folder, view, asked, known_by, Here(count), memory)
    np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize(("files", "parts"), [(1, 4), (4, 4), (7, 3), (3, 1)])
def test_each_file_is_read_once(files: int, parts: int) -> None:
    read = list(_some_files(files, parts))
    assert [number for some in read for number in some] == list(range(files))
    assert len(read) == min(files, parts) and all(read)
