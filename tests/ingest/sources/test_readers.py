"""Rows of files and queries: all of them, each with where it was, a bad one by itself."""

from __future__ import annotations

import gzip
import io
import os
import sqlite3
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from ml_assets.core.data.tables import KeptRows
from ml_assets.core.errors import DeclarationError, FetchError
from ml_assets.ingest.sources import (
    CsvFile,
    PackagedFile,
    ParquetFiles,
    Renamed,
    SqlQuery,
)
from ml_assets.ingest.sources.origins import BATCH, ORIGIN, PROBLEM
from ml_assets.ingest.sources.packages import Package

AT = datetime(2024, 1, 5, 10, tzinfo=UTC)
ORDERS = 'order,amount,note\n1,9.5,"a, b"\n2,,plain\n'


def read(rows: KeptRows, cache: Path) -> list[dict[str, Any]]:
    return [row for batch in rows.batches(rows.fetch(cache)) for row in batch.to_pylist()]


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS)
    return path


def test_a_csv_file_is_read_as_texts_with_its_lines(orders: Path, tmp_path: Path) -> None:
    assert read(CsvFile(file=str(orders)), tmp_path) == [
        {"order": "1", "amount": "9.5", "note": "a, b", ORIGIN: "orders.csv:2", PROBLEM: None},
        {"order": "2", "amount": None, "note": "plain", ORIGIN: "orders.csv:3", PROBLEM: None},
    ]


@pytest.mark.parametrize(("line", "said"), [
    ("2,3", "it has 2 values; expected 3"),
    ("2,3,4,5", "it has 4 values; expected 3"),
    ('2,"3"x,4', "it cannot be read: ',' expected after '\"'"),
])
def test_a_bad_line_fails_alone(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(f"a,b,c\n1,2,3\n{line}\n\n4,5,6\n")
    good, bad, last = read(CsvFile(file=str(path)), tmp_path)
    assert (good["a"], last["a"], last[ORIGIN]) == ("1", "4", "orders.csv:5")
    assert bad == {"a": None, "b": None, "c": None, ORIGIN: "orders.csv:3", PROBLEM: said}


def test_a_quote_that_is_never_closed_swallows_no_more_than_a_field_may_hold(
    tmp_path: Path,
) -> None:
    path = tmp_path / "orders.csv"
    with path.open("w") as file:
        file.write('a,b\n1,"open\n')
        file.writelines(f"{number},x\n" for number in range(400_000))
    rows = read(CsvFile(file=str(path)), tmp_path)
    assert rows[0][ORIGIN] == "orders.csv:2"
    assert "field larger than field limit" in rows[0][PROBLEM]
    assert rows[-1]["a"] == "399999"
    assert sum(row[PROBLEM] is None for row in rows) > 200_000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_encodings_and_byte_order_marks(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes("stadt;preis\nKöln;1\n".encode(encoding))
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    [row] = read(CsvFile(file=str(path), encoding=declared, separator=";"), tmp_path)
    assert row["stadt"] == "Köln"


def test_another_encoding_is_named_with_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes("stadt\nKöln\n".encode("cp1252"))
    with pytest.raises(FetchError, match=r"orders.csv.* is not utf-8: .* 0xf6 .*encoding=\"cp1252"):
        read(CsvFile(file=str(path)), tmp_path)


def test_a_compressed_file_is_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv.gz"
    path.write_bytes(gzip.compress(ORDERS.encode()))
    assert len(read(CsvFile(file=str(path)), tmp_path)) == 2


@pytest.mark.parametrize(("text", "said"), [
    ("", "orders.csv:1 is empty"), ("a,a\n1,2\n", "column 'a' occurs twice"),
])
def test_a_file_without_columns_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(text)
    with pytest.raises(FetchError, match=said):
        read(CsvFile(file=str(tmp_path / "orders.csv")), tmp_path)


def test_a_column_without_a_name_gets_one_and_a_header_may_be_declared(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(",a\n0,x\n")
    file = str(tmp_path / "orders.csv")
    assert list(read(CsvFile(file=file), tmp_path)[0])[:2] == ["column_1", "a"]
    assert len(read(CsvFile(file=file, header=("row", "a")), tmp_path)) == 2


def test_a_name_is_no_pattern_unless_asked(tmp_path: Path) -> None:
    for name, value in (("a[1].csv", "own"), ("a1.csv", "other"), ("a2.csv", "third")):
        (tmp_path / name).write_text(f"x\n{value}\n")
    assert [row["x"] for row in read(CsvFile(file=f"{tmp_path}/a[1].csv"), tmp_path)] == ["own"]
    found = read(CsvFile(file=f"{tmp_path}/a*.csv", pattern=True), tmp_path)
    assert [(row["x"], row[ORIGIN]) for row in found] == [
        ("other", "a1.csv:2"), ("third", "a2.csv:2"), ("own", "a[1].csv:2")]
    (tmp_path / "a3.csv").write_text("y\n1\n")
    with pytest.raises(FetchError, match=r"a3.csv has the columns \['y'\]; expected \['x'\]"):
        read(CsvFile(file=f"{tmp_path}/a*.csv", pattern=True), tmp_path)


@pytest.mark.parametrize("rows", [
    CsvFile(file="nothing.csv"), ParquetFiles(file="nothing.parquet"),
    SqlQuery(sql="select 1", database="nothing.duckdb"),
    SqlQuery(sql="select 1", database="sqlite:nothing.sqlite"),
], ids=repr)
def test_a_missing_file_is_named(rows: KeptRows, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"nothing.* is not there"):
        rows.fetch(tmp_path)


@pytest.mark.parametrize("wrong", [{"separator": ""}, {"separator": "::"}, {"quote": "\n"},
                                   {"encoding": "utf8-ish"}, {"encoding": "base64"}])
def test_a_wrong_declaration_of_a_csv_file_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match=rf"CsvFile.{next(iter(wrong))} is"):
        CsvFile(file="orders.csv", **wrong)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=8)


@budget(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(TEXT, TEXT), max_size=6))
def test_what_python_writes_is_read_back(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Line ends and separators inside quotes included."""
    import csv

    path = tmp_path_factory.mktemp("csv") / "x.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([("a", "b"), *rows])
    found = [(row["a"] or "", row["b"] or "") for row in read(CsvFile(file=str(path)), path)]
    assert found == rows


def test_rows_come_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("a\n" + "1\n" * (2 * BATCH + 1))
    rows = CsvFile(file=str(path))
    assert [batch.num_rows for batch in rows.batches(path)] == [BATCH, BATCH, 1]


def test_parquet_keeps_its_types_and_its_order(tmp_path: Path) -> None:
    for part in (1, 2):
        pq.write_table(pa.table({"n": [part], "at": [AT]}), tmp_path / f"p{part}.parquet")
    found = read(ParquetFiles(file=f"{tmp_path}/p*.parquet", pattern=True), tmp_path)
    assert [(row["n"], row["at"], row[ORIGIN]) for row in found] == [
        (1, AT, "p1.parquet:1"), (2, AT, "p2.parquet:1")]
    pq.write_table(pa.table({"n": ["x"]}), tmp_path / "p3.parquet")
    with pytest.raises(FetchError, match=r"p3.parquet has the columns n string; expected n int64"):
        read(ParquetFiles(file=f"{tmp_path}/p*.parquet", pattern=True), tmp_path)
    (tmp_path / "p4.parquet").write_text("no")
    with pytest.raises(FetchError, match=r"p4.parquet cannot be read as Parquet"):
        read(ParquetFiles(file=f"{tmp_path}/p4.parquet"), tmp_path)


def test_a_query_reads_files_and_duckdb_and_sqlite(orders: Path, tmp_path: Path) -> None:
    asked = SqlQuery(sql=f"select amount::double as amount from '{orders}' order by 1 desc")
    assert [row["amount"] for row in read(asked, tmp_path)] == [9.5, None]
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as shop:
        shop.execute("create table orders as select 7 as n, timestamptz '2024-01-05 10:00Z' as at")
    stored = SqlQuery(sql="select * from orders", database=str(tmp_path / "shop.duckdb"))
    assert read(stored, tmp_path) == [{"n": 7, "at": AT, ORIGIN: "query:1"}]
    with sqlite3.connect(tmp_path / "shop.sqlite") as lite:
        lite.execute("create table orders(n, price, note)")
        lite.executemany("insert into orders values (?, ?, ?)", [(1, 9.5, None), ("x", 2, "b")])
    lite.close()
    texts = SqlQuery(sql="select * from orders", database=f"sqlite:{tmp_path}/shop.sqlite")
    assert read(texts, tmp_path) == [
        {"n": "1", "price": "9.5", "note": None, ORIGIN: "query:1", PROBLEM: None},
        {"n": "x", "price": "2", "note": "b", ORIGIN: "query:2", PROBLEM: None},
    ]


def test_a_query_cannot_write(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as shop:
        shop.execute("create table orders as select 7 as n")
    wicked = SqlQuery(sql="drop table orders", database=str(tmp_path / "shop.duckdb"))
    with pytest.raises(FetchError, match=r"the query 'drop table orders' failed: .*read-only"):
        read(wicked, tmp_path)


@pytest.mark.parametrize("database", ["", "sqlite:{tmp}/x.sqlite"])
def test_a_wrong_query_says_what_the_database_says(database: str, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "x.sqlite").close()
    with pytest.raises(FetchError, match=r"'select 1 from nowhere' failed: .*nowhere"):
        read(SqlQuery(sql="select 1 from nowhere",
                      database=database.format(tmp=tmp_path)), tmp_path)


def test_without_psycopg_a_query_of_postgresql_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    rows = SqlQuery(sql="select 1", database="postgresql://localhost/shop")
    with pytest.raises(FetchError, match=r"needs the package psycopg: `pip install"):
        read(rows, tmp_path)


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(SqlQuery(sql="select 1", database="postgresql://u:secret@h/d"))


def test_columns_get_names_that_can_be_declared(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("Amount (EUR),b\n1,2\n")
    rows = CsvFile(file=str(tmp_path / "x.csv"))
    named = Renamed(rows=rows, names={"Amount (EUR)": "amount"})
    assert list(read(named, tmp_path)[0])[:2] == ["amount", "b"]
    with pytest.raises(FetchError, match=r"no column 'Amount EUR' .*Closest: 'Amount \(EUR\)'"):
        read(Renamed(rows=rows, names={"Amount EUR": "amount"}), tmp_path)


@dataclass(frozen=True, kw_only=True)
class Local(Package):
    """A package that is there already."""

    path: Path

    client: ClassVar[str] = "cp"
    suffix: ClassVar[str] = ""
    remedy: ClassVar[str] = ""
    clear: ClassVar[str] = ""

    @property
    def spec(self) -> str:
        return self.name

    @property
    def file_name(self) -> str:
        return self.path.name

    def command(self) -> Sequence[str]:
        raise AssertionError

    def fetch(self, cache: Path) -> Path:
        return self.path


def archives(folder: Path) -> Iterator[Path]:
    with zipfile.ZipFile(folder / "x.whl", "w") as wheel:
        wheel.writestr("data/orders.csv", ORDERS)
    yield folder / "x.whl"
    with tarfile.open(folder / "x.tgz", "w:gz") as package:
        member = tarfile.TarInfo("data/orders.csv")
        member.size = len(ORDERS)
        package.addfile(member, io.BytesIO(ORDERS.encode()))
    yield folder / "x.tgz"


def test_a_file_inside_a_package_is_read_like_any_other(tmp_path: Path) -> None:
    for archive in archives(tmp_path):
        package = Local(name="x", version="1", sha256="", path=archive)
        inside = CsvFile(file=PackagedFile(package=package, member="data/orders.csv"))
        cache = tmp_path / "cache"
        assert len(read(inside, cache)) == 2
        inside.fetch(cache).write_text("cut")
        assert len(read(inside, cache)) == 2
        wrong = PackagedFile(package=package, member="data/order.csv")
        with pytest.raises(FetchError, match=r"holds no file 'data/order.csv'. Closest: 'data/ord"):
            wrong.fetch(cache)


def test_a_query_joins_files_of_packages_and_reads_no_others(orders: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "shop-1.0.whl"
    pq.write_table(pa.table({"order": [1, 2], "paid": [AT, None]}), tmp_path / "times.parquet")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(tmp_path / "times.parquet", "shop/times.parquet")
    packaged = PackagedFile(package=Local(name="shop", version="1.0", sha256="", path=wheel),
                            member="shop/times.parquet")
    files: dict[str, str | PackagedFile] = {"orders": str(orders), "times": packaged}
    sql = 'select note, paid from orders join times using ("order") order by note'
    rows = SqlQuery(sql=sql, files=files)
    assert read(rows, tmp_path) == [{"note": "a, b", "paid": AT, ORIGIN: "query:1"},
                                    {"note": "plain", "paid": None, ORIGIN: "query:2"}]
    other = SqlQuery(sql=f"select * from '{tmp_path}/times.parquet'", files={"orders": str(orders)})
    with pytest.raises(FetchError, match=r"failed: .*times.parquet"):
        read(other, tmp_path)


def test_what_a_query_over_files_gives_is_known_by_the_files_and_by_its_words(
    orders: Path, tmp_path: Path
) -> None:
    def stamp(sql: str, **files: Any) -> str | None:
        rows = SqlQuery(sql=sql, files=files)
        return rows.stamp(rows.fetch(tmp_path))

    os.utime(orders, (1, 1))
    first = stamp("select 1 from orders", orders=str(orders))
    assert first is not None
    assert first == stamp("select 1 from orders", orders=str(orders))
    assert first != stamp("select 2 from orders", orders=str(orders))
    orders.write_text(ORDERS + "3,,late\n")
    os.utime(orders, (2, 2))
    assert first != stamp("select 1 from orders", orders=str(orders))
    assert stamp("select 1") is None


@pytest.mark.parametrize("wrong", [{"files": {"a b": "x.csv"}},
                                   {"files": {"a": "x.csv"}, "database": "x.duckdb"}])
def test_a_wrong_declaration_of_a_query_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match=r"SqlQuery.files is"):
        SqlQuery(sql="select 1", **wrong)
