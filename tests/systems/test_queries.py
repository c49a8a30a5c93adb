"""What a reference system asks of its files comes in one order, however many threads answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ml_assets.core.settings import Settings
from ml_assets.ingest.sources import SqlQuery
from ml_assets.systems import SYSTEMS


def queries(declared: Any) -> Iterator[SqlQuery]:
    """All that stand anywhere in a declaration."""
    if isinstance(declared, SqlQuery):
        yield declared
    elif is_dataclass(declared):
        for field in fields(declared):
            yield from queries(getattr(declared, field.name))


ASKED = {f"{system.name} {name}": query
         for system in SYSTEMS
         for name, declared in (*((each.name, each) for each in system.streams),
                                *((each.name, each) for each in system.tables))
         for query in queries(declared)}


def answered(query: SqlQuery, threads: int, monkeypatch: pytest.MonkeyPatch) -> pa.Table:
    connect = duckdb.connect

    def with_threads(*arguments: Any, **named: Any) -> duckdb.DuckDBPyConnection:
        connection = connect(*arguments, **named)
        connection.execute(f"set threads = {threads}")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(duckdb, "connect", with_threads)
        fetched = query.fetch(Settings.from_environment().cache)
        return pa.Table.from_batches(list(query.batches(fetched))).combine_chunks()


@pytest.mark.slow
@pytest.mark.parametrize("name", ASKED)
def test_it_answers_the_same_rows_in_the_same_order(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else events of one instant, and all that is drawn after them, differ from run to run."""
    alone = answered(ASKED[name], 1, monkeypatch)
    assert alone.num_rows and answered(ASKED[name], 5, monkeypatch).equals(alone)
