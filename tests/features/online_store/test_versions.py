"""Rows of plain views as bytes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import DeclarationError, NotReady, UnknownName
from ml_assets.features.online_store.backend import Backend
from ml_assets.features.online_store.counting import put_rows
from ml_assets.features.online_store.versions import (
    NO_CREATED,
    Column,
    PlainView,
    pack_payloads,
    unpack_payload,
    version_of,
    versions_of,
)
from tests.features.online_store.kit import registered

MIXED = PlainView(
    name="mixed", keys=("user",),
    columns=tuple(Column(name, type_) for name, type_ in (
        ("word", "String"), ("a", "Float64"), ("is_so", "Bool"), ("n", "Int64"),
        ("more", "Bytes"), ("b", "Float32"), ("i", "Int32"), ("t", "UnixTimestamp"),
        ("x", "Int32"),
    )),
)
NUMBERS = (
    st.floats(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(width=32),
    st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1), st.just(7),
)
INSTANT = pa.timestamp("us", tz="UTC")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(
    st.tuples(*(st.none() | numbers for numbers in NUMBERS)),
    st.tuples(st.none() | st.binary(max_size=9), st.none() | st.binary(max_size=9)),
), max_size=5))
def test_what_is_packed_can_be_unpacked(rows: list[tuple[list[object], list[bytes]]]) -> None:
    nulls = np.array([[value is None for part in row for value in part] for row in rows],
                     dtype=bool).reshape(len(rows), len(MIXED.columns))
    numbers = [
        np.array([0 if row[0][place] is None else row[0][place] for row in rows])
        for place in range(len(MIXED.numbers))
    ]
    texts = [[row[1][place] or b"" for row in rows] for place in range(len(MIXED.texts))]
    for payload, row in zip(pack_payloads(MIXED, numbers, nulls, texts), rows, strict=True):
        found = unpack_payload(MIXED, payload)
        # The text of a number tells NaN, truth values and zeros apart.
        assert [str(each) for each in found[0]] == [str(each) for each in row[0]]
        assert found[1] == list(row[1])


def test_versions_follow_one_another() -> None:
    rows = [(5, 7, b"abc"), (-1, NO_CREATED, b"")]
    assert versions_of(b"".join(version_of(*row) for row in rows)) == rows
    assert versions_of(b"") == []


def test_of_many_rows_the_two_latest_of_each_key_are_stored(backend: Backend) -> None:
    """Of one instant the one that was created last; rows without key or instant not at all."""
    view = PlainView(name="ages", keys=("user",), columns=(Column("age", "Int64"),))
    registered(backend, view)
    rows = pa.table({
        "user": ["a", "a", "a", "a", "b", None, "", "c"],
        "at": pa.array([1, 3, 2, 3, 1, 1, 1, None], INSTANT),
        "written": pa.array([9, 9, None, 8, 1, 1, 1, 1], INSTANT),
        "age": [1, 33, 2, 30, 5, 6, 7, 8],
    })
    assert put_rows(view, backend, rows, timestamp="at", created="written") == 5
    view_id = backend.views()["ages"].id
    blobs = backend.get(view_id, [b"a", b"b", b"c"])
    found = [
        [(at, created, unpack_payload(view, payload)[0]) for at, created, payload
         in versions_of(blob or b"")]
        for blob in blobs
    ]
    assert found == [[(3, 9, [33]), (2, NO_CREATED, [2])], [(1, 1, [5])], []]
    put_rows(view, backend, rows.slice(0, 1), timestamp="at")
    assert len(versions_of(backend.get(view_id, [b"a"])[0] or b"")) == 2


def test_rows_that_lack_a_column_are_refused(backend: Backend) -> None:
    view = PlainView(name="ages", keys=("user",), columns=(Column("age", "Int64"),))
    rows = pa.table({"user": ["a"], "at": pa.array([1], INSTANT), "age": [1]})
    with pytest.raises(NotReady, match="no feature view 'ages'"):
        put_rows(view, backend, rows, timestamp="at")
    with pytest.raises(UnknownName, match="no column 'age'"):
        put_rows(view, backend, rows.drop(["age"]), timestamp="at")
    with pytest.raises(UnknownName, match="no column 'written'"):
        put_rows(view, backend, rows, timestamp="at", created="written")


def test_a_model_reads_numbers_only() -> None:
    assert MIXED.number_indexes(["b", "a"]) == [3, 0]
    with pytest.raises(DeclarationError, match="'word' of view 'mixed' is String; a model reads"):
        MIXED.number_indexes(["word"])
    with pytest.raises(DeclarationError, match="'none' of view 'mixed' is missing"):
        MIXED.number_indexes(["none"])
