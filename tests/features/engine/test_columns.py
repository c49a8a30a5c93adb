"""How columns of a table, and the values of one event, become what the engine reads."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.codes import code_of
from ml_assets.core.errors import ContractViolation, DeclarationError, UnknownName
from ml_assets.features.engine.columns import event_values, events_of, instant, key_column
from ml_assets.features.engine.events import entity_key, entity_keys, uid
from ml_assets.features.engine.windows import WindowedView
from tests.features.engine.strategies import histories, views
from tests.features.online_store.kit import event, windowed

UTC_US = pa.timestamp("us", tz="UTC")
SUM = windowed(("sum", "amount", 12, 3))
SHOPS = windowed(("approx_count_distinct", "shop", 12, 3))


def table(**columns: Any) -> pa.Table:
    """Rows of one customer, an instant apart, with `columns`."""
    size = len(next(iter(columns.values())))
    usual = {
        "customer": pa.array(["ann"] * size), "known_at": pa.array(range(size), UTC_US),
        "event_id": pa.array([str(place) for place in range(size)]),
    }
    return pa.table({**usual, **columns})


def column(view: WindowedView, values: pa.Array) -> list[Any]:
    """The only slot's values."""
    (slot,) = view.slots
    found: list[Any] = events_of(view, table(**{slot.column: values}))[0].values[slot].tolist()
    return found


@pytest.mark.parametrize("values", [
    pa.array([1.5, None, math.nan, math.inf, -math.inf]),
    pa.array([1.5, None, None, math.inf, math.nan], pa.float32()),
    pa.array([Decimal("1.5"), None, None, None, None]),
])
def test_what_is_no_finite_number_is_missing(values: pa.Array) -> None:
    np.testing.assert_array_equal(column(SUM, values), [1.5] + [math.nan] * 4)


def test_whole_numbers_and_truth_values_are_numbers() -> None:
    assert column(SUM, pa.array([2**53, -3])) == [2.0**53, -3.0]
    np.testing.assert_array_equal(column(SUM, pa.array([True, False, None])), [1, 0, math.nan])
    np.testing.assert_array_equal(column(SUM, pa.nulls(2)), [math.nan] * 2)


def test_hashes_are_those_of_texts_and_zero_where_there_is_none() -> None:
    texts = pa.array(["a", None, "", "a"])
    assert column(SHOPS, texts) == [uid("a"), 0, uid(""), uid("a")]
    assert column(SHOPS, texts.dictionary_encode()) == [uid("a"), 0, uid(""), uid("a")]
    assert column(SHOPS, pa.array([12, None], pa.int16())) == [uid("12"), 0]
    assert column(SHOPS, pa.array([True, False])) == [uid("true"), uid("false")]
    assert column(SHOPS, pa.array([], pa.string())) == []


def test_a_column_that_is_only_counted_may_have_any_type() -> None:
    view = windowed(("count", "amount", 12, 3))
    np.testing.assert_array_equal(column(view, pa.array(["x", None])), [1, math.nan])
    np.testing.assert_array_equal(column(view, pa.array([math.inf, 0.0])), [math.nan, 1])


@pytest.mark.parametrize(("view", "values", "message"), [
    (SUM, pa.array([1, 2**53 + 1]), "'amount' has the value 9007199254740993; expected at most"),
    (SUM, pa.array([-(2**60)]), "'amount' has the value -1152921504606846976; expected at most"),
    (SUM, pa.array([-(2.0**64)]),
     "'amount' has the value -1.8446744073709552e.19; expected less than 2\\*\\*64"),
    (windowed(("std", "amount", 12, 3)), pa.array([2.0**36]), "expected less than 2\\*\\*36"),
])
def test_a_number_that_cannot_be_summed_exactly_is_refused(
    view: WindowedView, values: pa.Array, message: str
) -> None:
    with pytest.raises(ContractViolation, match=f"feature view 'shopping': column {message}"
                       if message.startswith("'") else message):
        column(view, values)


@pytest.mark.parametrize(("view", "values", "message"), [
    (SUM, pa.array(["1"]), "column 'amount' is string; sum needs numbers"),
    (SHOPS, pa.array([1.5]), "column 'shop' is double; counting distinct values needs texts"),
])
def test_a_column_of_the_wrong_type_is_refused(
    view: WindowedView, values: pa.Array, message: str
) -> None:
    with pytest.raises(DeclarationError, match=message):
        column(view, values)


def test_rows_without_customer_or_instant_are_left_out() -> None:
    rows = pa.table({
        "customer": ["ann", None, "", "bob", "cy"],
        "known_at": pa.array([3, 2, 1, None, 0], UTC_US),
        "event_id": list("abcde"), "amount": [1.0, 2.0, 3.0, 4.0, 5.0],
    })
    events, entities = events_of(SUM, rows)
    assert entities == [b"cy", b"ann"]
    assert events.at.tolist() == [0, 3]
    assert events.uid.tolist() == [uid("e"), uid("a")]
    assert len(set(events.entity.tolist())) == 2


def test_events_come_in_the_order_of_their_arrival() -> None:
    """By when they were created, then by when they happened; what has neither comes first."""
    view = replace(SUM, created="written")
    rows = table(
        amount=[0.0, 1.0, 2.0, 3.0],
        written=pa.array([5, 4, None, 4], UTC_US),
    ).set_column(1, "known_at", pa.array([0, 7, 9, 6], UTC_US))
    assert events_of(view, rows)[0].values[view.slots[0]].tolist() == [2.0, 3.0, 1.0, 0.0]


@pytest.mark.parametrize("instants", [
    pa.array([1_500_000], pa.timestamp("us")), pa.array([1500], pa.timestamp("ms", tz="UTC")),
    pa.array([1_500_000_999], pa.timestamp("ns", tz="Europe/Vienna")),
])
def test_instants_are_microseconds_in_utc(instants: pa.Array) -> None:
    rows = table(amount=[1.0]).set_column(1, "known_at", instants)
    assert events_of(SUM, rows)[0].at.tolist() == [1_500_000]


def test_a_table_that_lacks_something_is_refused() -> None:
    rows = table(amount=[1.0])
    with pytest.raises(UnknownName, match="no column 'amount'"):
        events_of(SUM, rows.drop(["amount"]))
    with pytest.raises(DeclarationError, match="'known_at' is int64; expected a timestamp"):
        events_of(SUM, rows.set_column(1, "known_at", pa.array([1])))
    with pytest.raises(ContractViolation, match="'event_id' is null; every event needs an id"):
        events_of(SUM, rows.set_column(2, "event_id", pa.array([None], pa.string())))
    with pytest.raises(DeclarationError, match=r"key 'customer' is date32.*; expected a text"):
        events_of(SUM, rows.set_column(0, "customer", pa.array([1], pa.date32())))


@pytest.mark.parametrize("key", [1.5, 2.0**53 + 2, math.inf, -(2.0**60)])
def test_a_float_that_may_be_several_ids_is_refused(key: float) -> None:
    rows = table(amount=[1.0]).set_column(0, "customer", pa.array([key]))
    with pytest.raises(ContractViolation, match=r"key 'customer' has the value .*as several ids"):
        events_of(SUM, rows)


def test_keys_are_named_as_for_a_single_event() -> None:
    rows = pa.table({"user": [1, None, 3], "shop": ["a", "b", ""]})
    found = key_column(rows, ("user", "shop"), "a test")
    assert found == [entity_key([1, "a"]), None, None]
    assert key_column(rows, ("user",), "a test") == [b"1", None, b"3"]
    assert key_column(rows, ("shop",), "a test") == [b"a", b"b", None]
    events = rows.to_pylist()
    for names in (("user", "shop"), ("user",), ("shop",)):
        wanted = [key or b"" for key in key_column(rows, names, "a test")]
        assert entity_keys(events, names) == wanted


@pytest.mark.parametrize("values", [
    [1.0, math.nan, None, -0.0, 2.0**53], [1, None, -5, 2**63 - 1], [True, False, None],
    ["a", "", None, " "], [b"a", b"", None],
    [Decimal(7), None, Decimal(10)**20],
])
def test_a_key_of_any_type_is_named_as_for_a_single_event(values: list[object]) -> None:
    """A column of ids with gaps is one of floats for pandas, and names the same ids."""
    for beside in (None, "x"):
        names = ("key",) if beside is None else ("key", "beside")
        rows = pa.table({"key": values, "beside": [beside or ""] * len(values)})
        assert key_column(rows, names, "a test") == [
            entity_key([value] if beside is None else [value, beside]) for value in values
        ]
    assert entity_key([1.0]) == entity_key([1]) == b"1"
    assert entity_key([math.nan]) is entity_key([b""]) is entity_key([""]) is None


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_an_event_alone_is_read_as_in_a_table(data: st.DataObject) -> None:
    view = data.draw(views())
    records = [record for record in data.draw(histories(view)) if record.entity >= 0]
    rows = pa.Table.from_pylist([event(record) for record in records], pa.schema([
        ("customer", pa.string()), ("known_at", UTC_US), ("event_id", pa.string()),
        ("amount", pa.float64()), ("pages", pa.int64()), ("paid", pa.bool_()),
        ("shop", pa.string()), ("city", pa.string()),
    ]))
    events, _ = events_of(view, rows)
    alone = [event_values(view, event(record)) for record in records]
    order = sorted(range(len(records)), key=lambda place: records[place].at)
    for place, slot in enumerate(view.slots):
        np.testing.assert_array_equal(
            events.values[slot],
            np.array([alone[each][place] for each in order], dtype=events.values[slot].dtype),
        )




@pytest.mark.parametrize(("view", "value", "message"), [
    (SUM, 2**53 + 1, "expected at most 2\\*\\*53"), (SUM, 2.0**64, "expected less than 2\\*\\*64"),
    (SUM, "1", "has the value '1'; expected a number"),
])
def test_a_value_of_an_event_that_does_not_fit_is_refused(
    view: WindowedView, value: object, message: str
) -> None:
    with pytest.raises(ContractViolation, match=message):
        event_values(view, {"amount": value})


@pytest.mark.parametrize("function", ["last_n(2)", "most_frequent", "first", "last"])
def test_texts_are_their_codes_to_functions_that_only_give_values_back(function: str) -> None:
    view = windowed((function, "shop", 12, 3))
    texts = ["x", None, "", "x", "Zürich"]
    codes = [code_of("x"), math.nan, code_of(""), code_of("x"), code_of("Zürich")]
    np.testing.assert_array_equal(column(view, pa.array(texts)), codes)
    np.testing.assert_array_equal(column(view, pa.array(texts).dictionary_encode()), codes)
    np.testing.assert_array_equal(
        [event_values(view, {"shop": text})[0] for text in texts], codes)


def test_a_column_of_texts_that_a_sum_reads_too_is_refused_by_the_name_of_the_sum() -> None:
    view = windowed(("last_n(2)", "shop", 12, 3), ("sum", "shop", 12, 3), ("std", "shop", 12, 3))
    with pytest.raises(DeclarationError, match="'shop' is string; sum or std needs numbers"):
        column(view, pa.array(["x"]))
    with pytest.raises(ContractViolation, match="has the value 'x'; expected a number"):
        event_values(view, {"shop": "x"})


def test_floats_of_an_event_have_no_hash() -> None:
    with pytest.raises(DeclarationError, match="'shop' is float; counting distinct values needs"):
        event_values(SHOPS, {"shop": 1.5})


def test_an_instant_must_be_aware() -> None:
    assert instant(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), "at", "x") == 1_000_000
    assert instant(7, "at", "x") == 7
    for wrong in (datetime(1970, 1, 1), "1970-01-01", None):  # noqa: DTZ001
        with pytest.raises(ContractViolation, match="expected an aware datetime"):
            instant(wrong, "at", "x")
