"""Recorded events that are rows: in order of time, typed by their columns, with their outcomes."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from ml_assets.core.data.columns import Column, Dtype
from ml_assets.core.errors import DeclarationError, FetchError, Quarantined
from ml_assets.core.source import ArchivedEvent
from ml_assets.ingest.archive import records, usable, usable_since
from ml_assets.ingest.contracts.values import taken
from ml_assets.ingest.sources import CsvFile, EventRows, ParquetFiles
from ml_assets.ingest.sources.cells import SourceClock, clock, posted, value_of
from tests.toy import TOY

COLUMNS = (
    Column(name="customer", dtype="text", description="who"),
    Column(name="amount", dtype="number", description="how much"),
)
HEAD = "order,at,customer,amount,returned,told\n"


def rows(tmp_path: Path, text: str, **fields: Any) -> EventRows:
    (tmp_path / "orders.csv").write_text(text)
    said: dict[str, Any] = {"timestamp": "at", "key": "order", "label": "returned",
                            "columns": COLUMNS, "zone": "UTC"}
    return EventRows(rows=CsvFile(file=str(tmp_path / "orders.csv")), **said | fields)


def events(source: EventRows, cache: Path) -> list[ArchivedEvent]:
    return list(source.archive(source.fetch(cache)))


def test_rows_become_events_in_order_of_time(tmp_path: Path) -> None:
    source = rows(tmp_path, HEAD + "b,2024-01-02 10:00,ann,9.5,yes,\n"
                  "a,2024-01-01T10:00:00+02:00,bob,,no,\nc,2024-01-02,,1,,\n")
    first, second, third = events(source, tmp_path)
    assert first == ArchivedEvent(
        event_id="a", event_timestamp=datetime(2024, 1, 1, 8, tzinfo=UTC),
        request={"customer": "bob", "amount": None}, outcome=False, origin="orders.csv:3")
    assert (second.event_id, second.outcome, second.request["customer"]) == ("c", None, None)
    assert (third.event_id, third.outcome, third.request) == (
        "b", True, {"customer": "ann", "amount": 9.5})


@pytest.mark.parametrize("since", [datetime(2024, 1, day, 8, tzinfo=UTC) for day in (1, 2, 9)])
def test_later_rows_alone_are_those_of_all_rows(tmp_path: Path, since: datetime) -> None:
    """Whether or not a source can skip: what cannot be used is left out, and ids count from
    `since` on.
    """
    source = rows(tmp_path, HEAD + "b,2024-01-02 10:00,ann,9.5,yes,\na,2024-01-01 08:00,bob,,no,\n"
                  "c,soon,,1,,\na,2024-01-02 08:00,eve,3,,\nd,2024-01-03,,1,,\n")
    fetched = source.fetch(tmp_path)
    found = list(usable_since(TOY, source, fetched, since))
    assert found == list(usable_since(TOY, Whole(source), fetched, since))
    assert found == [each for each in usable(TOY, source.archive(fetched))
                     if each.event_timestamp >= since] or since.day == 2
    assert [each.event_id for each in found] == {1: list("abd"), 2: list("abd"), 9: []}[since.day]


class Whole:
    """A source that gives all it has."""

    def __init__(self, source: EventRows) -> None:
        self.fetch, self.archive, self.parse = source.fetch, source.archive, source.parse


def test_clocks_without_zone_are_refused_with_file_and_line(tmp_path: Path) -> None:
    source = rows(tmp_path, HEAD + "a,2024-01-01T10:00:00Z,,1,,\nb,2024-01-01 10:00,,1,,\n",
                  zone="")
    with pytest.raises(DeclarationError, match=r"orders.csv:3: at is '2024-01-01 10:00', which "
                       r"names no time zone.* zone='UTC'"):
        events(source, tmp_path)


def test_a_declared_zone_and_layout_read_local_clocks(tmp_path: Path) -> None:
    source = rows(tmp_path, HEAD + "a,05.07.2024 10:00,,1,,\n", zone="Europe/Berlin",
                  layout="%d.%m.%Y %H:%M")
    [event] = events(source, tmp_path)
    assert event.event_timestamp == datetime(2024, 7, 5, 8, tzinfo=UTC)


def test_a_row_that_cannot_be_used_is_set_aside_alone_and_named(tmp_path: Path) -> None:
    source = rows(tmp_path, HEAD + "a,2024-01-01,,1,,\nb,soon,,1,,\nc,,,1,,\n,2024-01-01,,1,,\n"
                  "a,2024-01-02,,1,,\ne,2024\nf,2024-01-03,,1,,\n")
    found = list(records(TOY, source.archive(source.fetch(tmp_path))))
    assert [record.event_id for record in found if record.problem is None] == ["a", "f"]
    assert [record.problem for record in found if record.problem] == [
        "orders.csv:3: at is 'soon'; expected an instant",
        "orders.csv:4: at is None; expected an instant",
        "orders.csv:5: event_id is None; expected a text that is not empty",
        "orders.csv:6: event_id 'a' was there before; an event counts once",
        "orders.csv:7: it has 2 values; expected 6",
    ]


def test_without_a_key_file_and_line_are_the_event_s_name(tmp_path: Path) -> None:
    source = rows(tmp_path, HEAD + "a,2024-01-02,,1,,\na,2024-01-01,,1,,\n", key=None)
    assert [event.event_id for event in events(source, tmp_path)] == [
        "orders.csv:3", "orders.csv:2"]


def test_outcomes_of_another_file_are_found_by_key(tmp_path: Path) -> None:
    (tmp_path / "outcomes.csv").write_text(
        "order,returned,told\nb,yes,2024-01-09\na,no,2024-01-03\nb,no,2024-01-05\n"
        "a,,2024-01-08\nz,yes,2024-01-03\nc,yes,never\n")
    (tmp_path / "orders.csv").write_text(
        "order,at,customer,amount\na,2024-01-01,,1\nb,2024-01-02,,1\nc,2024-01-03,,1\n")
    source = EventRows(
        rows=CsvFile(file=str(tmp_path / "orders.csv")), columns=COLUMNS, timestamp="at",
        key="order", label="returned", known_at="told", zone="UTC",
        outcomes=CsvFile(file=str(tmp_path / "outcomes.csv")))
    assert [(event.event_id, event.outcome, event.known_at)
            for event in events(source, tmp_path / "cache")] == [
        ("a", False, datetime(2024, 1, 3, tzinfo=UTC)),
        ("b", True, datetime(2024, 1, 9, tzinfo=UTC)), ("c", None, None)]


def test_outcomes_without_instants_count_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "outcomes.csv").write_text("order,returned\na,no\na,yes\n")
    source = rows(tmp_path, HEAD + "a,2024-01-01,,1,,\n",
                  outcomes=CsvFile(file=str(tmp_path / "outcomes.csv")))
    assert [event.outcome for event in events(source, tmp_path / "cache")] == [True]


def test_a_column_that_is_not_there_is_named_with_the_closest(tmp_path: Path) -> None:
    source = rows(tmp_path, HEAD, timestamp="att")
    with pytest.raises(FetchError, match=r"no column 'att'; there are order, .* Closest: 'at'"):
        events(source, tmp_path)


def test_an_empty_file_has_no_events(tmp_path: Path) -> None:
    assert events(rows(tmp_path, HEAD), tmp_path) == []


CELLS: list[tuple[Dtype, object, object]] = [
    ("number", "1e3", 1000.0), ("number", "1,5", "1,5"), ("number", 3, 3.0),
    ("number", float("nan"), None), ("number", True, True),
    ("integer", "12", 12), ("integer", 12.0, 12), ("integer", 12.5, 12.5), ("integer", "x", "x"),
    ("boolean", "Yes", True), ("boolean", "0", False), ("boolean", 1, True),
    ("boolean", 2, 2), ("boolean", 37.5, 37.5),
    ("text", 7, "7"), ("text", "", ""), ("category", "a", "a"),
    ("instant", "2024-01-01 10:00", "2024-01-01T10:00:00+00:00"), ("instant", "soon", "soon"),
]


@pytest.mark.parametrize(("dtype", "cell", "value"), CELLS)
def test_what_a_cell_becomes(dtype: Dtype, cell: object, value: object) -> None:
    """Whatever is no value of its type stays as it is, for the contract to name."""
    column = Column(name="x", dtype=dtype, description="")
    assert posted(column, cell, SourceClock("UTC")) == value


def test_a_list_is_read_from_json_or_arrow() -> None:
    column = Column(name="x", dtype="integer", many=True, description="")
    assert [posted(column, cell, SourceClock()) for cell in ("[1, 2]", ["1"], "1;2", None)] == [
        [1, 2], [1], "1;2", None]


def test_a_client_posts_the_declared_columns_and_no_others() -> None:
    source = EventRows(rows=CsvFile(file="x.csv"), columns=COLUMNS, timestamp="at")
    assert source.parse({"customer": "ann", "amount": 3}) == {"customer": "ann", "amount": 3.0}
    assert source.parse({}) == {"customer": None, "amount": None}
    source.require_known({"customer": "ann"})
    with pytest.raises(Quarantined, match=r"'amuont', which is no column.* Closest: 'amount'"):
        source.require_known({"customer": "ann", "amuont": 3})
    assert source.request_schema["required"] == ["customer", "amount"]


@pytest.mark.parametrize(("wrong", "said"), [
    ({"known_at": "told"}, "known_at"), ({"zone": "Berlin"}, "zone"),
    ({"outcomes": CsvFile(file="o.csv")}, "outcomes"),
])
def test_a_wrong_declaration_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationError, match=f"EventRows.{said} is"):
        EventRows(rows=CsvFile(file="x.csv"), columns=COLUMNS, timestamp="at", **wrong)


@budget(max_examples=30, deadline=None)
@given(seconds=st.lists(st.integers(0, 5), max_size=12), seed=st.integers(0, 3))
def test_order_of_time_is_stable_whatever_the_order_of_rows(
    seconds: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("rows")
    start = datetime(2024, 1, 1, tzinfo=UTC)
    pq.write_table(pa.table({
        "at": pa.array([start + timedelta(seconds=each) for each in seconds],
                       pa.timestamp("us", "UTC")),
        "order": list(range(len(seconds))),
    }), tmp_path / "x.parquet", row_group_size=3)
    source = EventRows(rows=ParquetFiles(file=str(tmp_path / "x.parquet")), columns=(),
                       timestamp="at", key="order")
    found = [int(event.event_id) for event in events(source, tmp_path)]
    assert found == sorted(range(len(seconds)), key=lambda place: seconds[place])




CELLS = [
    ("text", b"k\xc3\xa4the", "käthe"), ("text", 6.0, "6"), ("text", 6, "6"), ("text", 6.5, "6.5"),
    ("text", 2.0**60, "1.152921504606847e+18"), ("text", UUID(int=7), str(UUID(int=7))),
    ("text", Decimal("1.10"), "1.10"), ("text", date(2024, 1, 2), "2024-01-02"),
    ("category", 3.0, "3"), ("boolean", 1.0, True), ("boolean", b"no", False),
    ("number", 2**53, 2**53), ("number", 7, 7.0), ("number", "9007199254740993", 2**53 + 1),
    ("number", Decimal(2**53 + 1), 2**53 + 1), ("number", "1e20", 1e20), ("integer", 6.0, 6),
]


@pytest.mark.parametrize(("dtype", "cell", "posted"), CELLS)
def test_a_typed_value_is_what_a_client_would_post(
    dtype: Dtype, cell: object, posted: object
) -> None:
    found = value_of(cell, dtype, clock("UTC", ""))
    assert (found, type(found)) == (posted, type(posted))


NO_VALUES = [
    *((dtype, cell) for dtype in ("text", "category", "number", "integer", "boolean", "instant")
      for cell in (b"\xff\x00", [1, 2], {"a": date(2024, 1, 2)}, timedelta(days=1))),
    ("number", 2**53 + 1), ("number", "9007199254740993"), ("number", Decimal(2**60 + 1)),
    ("integer", 0.5), ("boolean", 0.5), ("boolean", 2.0),
]


@pytest.mark.parametrize(("dtype", "cell"), NO_VALUES)
def test_what_is_no_value_of_its_column_is_set_aside_and_not_made_one(
    dtype: Dtype, cell: object
) -> None:
    """`str` makes a text of anything, and `float` a number of any whole one."""
    column = Column(name="said", dtype=dtype, description="of that type")
    found = posted(column, cell, clock("UTC", ""))
    json.dumps(found)
    with pytest.raises(Quarantined, match=r"^said"):
        taken(column, found)


KEYS: list[pa.Array] = [
    pa.array(["1", "2"]), pa.array([1, 2]), pa.array([1.0, 2.0]), pa.array([1, 2], pa.uint8()),
    pa.array([b"1", b"2"]), pa.array(["1", "2"], pa.large_string()),
    pa.array([Decimal(1), Decimal(2)]), pa.array(["1", "2"]).dictionary_encode(),
]


@pytest.mark.parametrize("outcomes", KEYS, ids=lambda keys: str(keys.type))
@pytest.mark.parametrize("orders", KEYS, ids=lambda keys: str(keys.type))
def test_outcomes_find_their_events_whatever_types_the_keys_have(
    tmp_path: Path, orders: pa.Array, outcomes: pa.Array
) -> None:
    at = pa.array([datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2)])
    pq.write_table(pa.table({"order": orders, "at": at}), tmp_path / "orders.parquet")
    pq.write_table(pa.table({"order": outcomes[:1], "returned": [True]}),
                   tmp_path / "told.parquet")
    source = EventRows(
        rows=ParquetFiles(file=str(tmp_path / "orders.parquet")), columns=(), timestamp="at",
        key="order", label="returned", otherwise=False,
        outcomes=ParquetFiles(file=str(tmp_path / "told.parquet")))
    assert [(each.event_id, each.outcome) for each in events(source, tmp_path)] == [
        ("1", True), ("2", False)]


def test_a_key_that_is_no_text_is_named_and_its_row_is_set_aside(tmp_path: Path) -> None:
    at = pa.array([datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2)])
    pq.write_table(pa.table({"order": [b"\xff", b"b"], "at": at}), tmp_path / "orders.parquet")
    source = EventRows(rows=ParquetFiles(file=str(tmp_path / "orders.parquet")), columns=(),
                       timestamp="at", key="order")
    aside, kept = records(TOY, events(source, tmp_path))
    assert (aside.event_id, kept.event_id) == ("orders.parquet:1", "b")
    assert aside.problem == (
        r"orders.parquet:1: order is b'\xff'; expected a text or a number")


@pytest.mark.parametrize(("layout", "cell", "at"), [
    ("seconds", "1704067200", datetime(2024, 1, 1, tzinfo=UTC)),
    ("seconds", 1704067200.25, datetime(2024, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
    ("milliseconds", 1704067200001, datetime(2024, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)),
    ("microseconds", "1704067200000001", datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ("seconds", -1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ("milliseconds", datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)),
])
def test_instants_may_be_counted_since_1970(layout: str, cell: object, at: datetime) -> None:
    assert SourceClock("Europe/Berlin", layout).instant(cell) == at


@pytest.mark.parametrize("cell", ["soon", "nan", "1e999999999", "-1e18", 1e300, True, None, ""])
def test_what_counts_no_time_is_no_instant(cell: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        SourceClock("", "seconds").instant(cell)
