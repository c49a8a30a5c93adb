"""Whatever a column is declared to be, what the door lets in every later room can process."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from ml_assets.core.data.columns import Column, Dtype
from ml_assets.core.errors import ContractViolation, Quarantined
from ml_assets.core.policies import Slice
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.system import System
from ml_assets.evaluation.slices import require_slices, rows_of
from ml_assets.features.engine.columns import event_values, slot_column
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.limits import limit_of
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.ingest.contracts.rows import Contract
from ml_assets.ingest.contracts.values import LARGEST, is_missing, taken
from ml_assets.ingest.events import parse_raw, raw_from_archive
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.lake_in_sql import open_lake, select
from ml_assets.ingest.tables import events_schema
from ml_assets.serving.answer.intake.admission import Admission, require_below
from tests.toy import TOY, with_stream

AT = datetime(2024, 1, 2, 12, tzinfo=UTC)
KINDS = [
    Column(name="extra", dtype=dtype, description="", optional=optional, many=many)
    for dtype in get_args(Dtype) for optional in (False, True) for many in (False, True)
] + [
    Column(name="extra", dtype="integer", description="", minimum=-5, maximum=2**60),
    Column(name="extra", dtype="category", description="", values=("red", "blue")),
    Column(name="extra", dtype="text", description="", max_length=3, many=True),
]

NASTY = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(-(10**30), 10**30),
    st.sampled_from([2**53 + 1, 2**63, -(2**63), 2**63 - 1, 10**400, 1e39, -0.0, 5e-324]),
    st.text(max_size=5), st.sampled_from(["red", "blue", "a\0b", "\ud800", "x" * 1001, ""]),
    st.sampled_from(["2024-01-01T00:00:00+00:00", "2024-01-01T00:00:00", "2024-01-01",
                     "0001-01-01T00:00:00Z", "2024-06-01T12:00:00.123456789+05:45"]),
    st.dictionaries(st.text(max_size=2), st.none(), max_size=1),
)
POSTED = NASTY | st.lists(NASTY, max_size=4)


class EchoSource:
    """The parser of somebody who trusts everybody."""

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        return iter(())

    def parse(self, request: Request) -> Event:
        return {"shop": "corner", "note": "", "amount": 1.0, "extra": request.get("extra")}


def system_of(column: Column) -> System:
    return with_stream(TOY, source=EchoSource(), columns=(*TOY.columns, column))


@pytest.mark.parametrize("column", KINDS, ids=repr)
@budget(max_examples=60, deadline=None)
@given(posted=POSTED)
def test_what_the_door_lets_in_every_later_room_can_process(column: Column, posted: Any) -> None:
    system = system_of(column)
    try:
        request = json.dumps({"extra": posted})
        event = Admission(system).read(request)
    except (Quarantined, ValueError) as error:
        assert "extra" in str(error) or "number" in str(error)
        _is_set_aside(system, posted)
        return
    value = event["extra"]
    parsed = parse_raw(system, raw_from_archive(system, [archived(posted)]))
    [row] = parsed.rows.to_pylist()
    assert same(row["extra"], value)
    assert Contract.of(system, system.asked).breaches([row]) == {}
    json.dumps(event, default=str)
    assert not any(map(is_missing, value)) if isinstance(value, list) else True
    if not column.many:
        _is_aggregated(column, event, parsed.rows)


def archived(posted: Any) -> ArchivedEvent:
    return ArchivedEvent(event_id="e", event_timestamp=AT, request={"extra": posted}, outcome=None)


def _is_set_aside(system: System, posted: Any) -> None:
    parsed = parse_raw(system, raw_from_archive(system, [archived(posted)]))
    assert len(parsed.rows) == 0 and len(parsed.quarantine) == 1


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def _is_aggregated(column: Column, event: Event, rows: pa.Table) -> None:
    """Both forms of the engine make the same of it; what they refuse, the door does."""
    numeric = column.dtype in ("number", "integer", "boolean")
    names = ["count", *(["sum", "max"] if numeric else []),
             *(["approx_count_distinct"] if column.dtype not in ("number", "instant") else [])]
    for name in names:
        view = WindowedView(name="v", keys=("shop",), timestamp="event_timestamp", aggregates=(
            Aggregate(name="f", function=parse_function(name, "a test"), column="extra",
                      window=3_600_000_000, slide=3_600_000_000),))
        try:
            [online] = event_values(view, event)
        except ContractViolation:
            # Then the door, which knows what features read, has refused it.
            with pytest.raises(Quarantined):
                require_below(limit_of(view, view.slots[0]), "extra", event["extra"])
            continue
        [offline] = slot_column(view, view.slots[0], rows["extra"]).tolist()
        assert online == offline or (math.isnan(online) and math.isnan(offline))


STORED: list[tuple[Column, list[object]]] = [
    (Column(name="extra", dtype="integer", description="", optional=True), [2**53 + 1, None, -1]),
    (Column(name="extra", dtype="integer", description="", many=True), [[2**53 + 1], [], [1, 2]]),
    (Column(name="extra", dtype="number", description="", optional=True), [1.5, None, -0.5]),
    (Column(name="extra", dtype="boolean", description="", optional=True), [True, None, False]),
    (Column(name="extra", dtype="instant", description="", many=True, optional=True),
     [[AT, AT + timedelta(microseconds=1)], None, []]),
    (Column(name="extra", dtype="category", description="", many=True), [["a", "b"], [], ["a"]]),
]


@pytest.mark.parametrize(("column", "values"), STORED, ids=repr)
def test_values_come_back_from_the_lake_as_they_were(
    column: Column, values: list[object], tmp_path: Path
) -> None:
    """Through the lake's own reader, through pandas, and through SQL; slices can name them."""
    system = system_of(column)
    schema, lake, day = events_schema(system), Lake(tmp_path), AT.date()
    rows = [{"event_id": f"e{n}", "event_timestamp": AT, "accepted_at": AT, "shop": "s", "note": "",
             "amount": 1.0, "extra": value, "log_seq": None} for n, value in enumerate(values)]
    lake.write("toy", "events", day, pa.Table.from_pylist(rows, schema=schema), schema)
    [part] = lake.portions("toy", "events", schema, day, size=10)
    assert part["extra"].to_pylist() == values
    frame = lake.read("toy", "events", schema)
    for found, value in zip(frame["extra"], values, strict=True):
        if value is None:
            assert is_missing(found)
        elif not isinstance(value, list):
            assert found == value and isinstance(found, type(value) | np.generic)
    with open_lake(tmp_path, [system]) as connection:
        asked = select(connection, "select extra is null as lacks from lake.toy.events", [])
    assert asked["lacks"].tolist() == [value is None for value in values]
    part_of = Slice(name="lacking", where="extra is null", description="")
    require_slices(system_with(system, part_of), [])
    assert rows_of(part_of, frame).tolist() == [value is None for value in values]


def system_with(system: System, part: Slice) -> System:
    return replace(system, slices=(part,), gates=())


BREACHES: list[tuple[Column, object, str]] = [
    (Column(name="size", dtype="integer", description=""), 3.0, "size is 3.0; expected an integer"),
    (Column(name="size", dtype="integer", description=""), True, "size is True"),
    (Column(name="size", dtype="integer", description=""), 2**63, "an integer of 64 bits"),
    (Column(name="size", dtype="number", description=""), 2**53 + 1, "declare the column"),
    (Column(name="size", dtype="number", description="", optional=True), 1e39, "at most"),
    (Column(name="hue", dtype="category", description="", values=("red", "blue")), "blu",
     "hue is 'blu'; expected 'red' or 'blue'. Closest: 'blue'."),
    (Column(name="at", dtype="instant", description=""), "2024-01-01T00:00", "no time zone"),
    (Column(name="at", dtype="instant", description=""), AT.replace(tzinfo=None), "no time zone"),
    (Column(name="tags", dtype="text", description="", many=True), "red", "a list of values, each"),
    (Column(name="tags", dtype="text", description="", many=True), ["a", None],
     "one of tags is None; expected a text"),
    (Column(name="tags", dtype="text", description=""), None, "tags is None; expected a text"),
]


@pytest.mark.parametrize(("column", "value", "says"), BREACHES, ids=repr)
def test_a_breach_names_column_and_value(column: Column, value: object, says: str) -> None:
    with pytest.raises(Quarantined) as caught:
        taken(column, value)
    assert says in str(caught.value)


def test_a_missing_value_is_null_however_it_is_written() -> None:
    lenient = Column(name="size", dtype="number", description="", optional=True)
    assert [taken(lenient, each) for each in (None, math.nan, np.float64("nan"))] == [None] * 3
    assert taken(lenient, 5) == 5.0 and taken(lenient, np.float32(0.5)) == 0.5
    assert LARGEST > 1e38
