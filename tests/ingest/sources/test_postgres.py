"""Queries of a real PostgreSQL server, as sources of events and of tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ml_assets.core.data.columns import Column
from ml_assets.core.errors import FetchError
from ml_assets.ingest.sources import EventRows, SqlQuery
from ml_assets.ingest.sources.origins import BATCH

COLUMNS = (
    Column(name="customer", dtype="integer", description="who"),
    Column(name="price", dtype="number", optional=True, description="EUR"),
    Column(name="gift", dtype="boolean", description="whether it is one"),
    Column(name="tags", dtype="text", many=True, description="said of it"),
)
ROWS = """
    ('o1', '2024-01-05 10:00+01', 7, 19.99, true, '{"a","it''s"}', true),
    ('o2', '2024-01-04 09:00+00', 8, null, false, '{}', null)
"""


@pytest.fixture
def shop(postgres_url: str) -> Iterator[str]:
    """A database with a table of two orders."""
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        connection.execute("create table orders (id text, at timestamptz, customer bigint, "
                           "price numeric(10, 2), gift boolean, tags text[], returned boolean)")
        connection.execute(f"insert into orders values {ROWS}")
        connection.execute("create sequence counter")
    yield postgres_url
    with psycopg.connect(postgres_url) as connection:
        connection.execute("drop table orders; drop sequence counter")


def asked(url: str, sql: str) -> SqlQuery:
    return SqlQuery(sql=sql, database=url)


def rows_of(query: SqlQuery) -> list[dict[str, Any]]:
    return [row for batch in query.batches(query.fetch(Path())) for row in batch.to_pylist()]


def test_rows_become_events_with_typed_columns(shop: str) -> None:
    """In order of time; instants, numbers, booleans and arrays are what they were."""
    source = EventRows(rows=asked(shop, "select * from orders"), columns=COLUMNS, timestamp="at",
                       key="id", label="returned")
    first, last = source.archive(source.fetch(Path()))
    assert (first.event_id, first.outcome) == ("o2", None)
    assert last.event_timestamp == datetime(2024, 1, 5, 9, tzinfo=UTC)
    assert (last.event_id, last.outcome) == ("o1", True)
    assert source.parse(last.request) == {
        "customer": 7, "price": 19.99, "gift": True, "tags": ["a", "it's"]}
    assert source.parse(first.request)["price"] is None


def test_rows_are_streamed_in_batches(postgres_url: str) -> None:
    """By a cursor of the server's: more than one batch of them."""
    query = asked(postgres_url, f"select n from generate_series(1, {BATCH + 5}) as n order by n")
    sizes = [batch.num_rows for batch in query.batches(query.fetch(Path()))]
    assert sizes == [BATCH, 5]
    last = rows_of(query)[-1]
    assert (last["n"], last["_origin"]) == (str(BATCH + 5), f"query:{BATCH + 5}")


@pytest.mark.parametrize(("sql", "says"), [
    ("select 1 from nowhere", r"'select 1 from nowhere' failed: .*nowhere"),
    ("drop table orders", "failed: "),
    ("select nextval('counter')", "failed: .*read-only"),
])
def test_a_query_that_fails_or_writes_says_what_the_database_says(
    sql: str, says: str, shop: str
) -> None:
    with pytest.raises(FetchError, match=says):
        rows_of(asked(shop, sql))
    assert len(rows_of(asked(shop, "select * from orders"))) == 2


def test_a_server_that_is_not_there_is_one_line_without_the_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    away = asked(f"postgresql://shop:secret@/postgres?host={tmp_path}", "select 1")
    with pytest.raises(FetchError, match="the query 'select 1' failed: ") as caught:
        rows_of(away)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
