"""A system is declared from a file: what is found out, what is explained, what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ml_assets.cli import main
from ml_assets.core.data.columns import Column
from ml_assets.core.errors import DeclarationError, FetchError, InstallationRefused
from ml_assets.core.settings import ROOT
from ml_assets.core.texts import ID_LENGTH, name_fault
from ml_assets.ingest.contracts.values import taken
from ml_assets.ingest.sources import EventRows
from ml_assets.projects.files import brought
from ml_assets.projects.new import new, plan
from ml_assets.projects.skeleton import init
from tests.projects.kit import START, Shop, changed, orders, shop, write

BRIDGE = ROOT / "packages/dagster-feast"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Shop]:
    with shop(tmp_path / "shop") as made:
        yield made


def test_types_are_found_out(here: Shop) -> None:
    made = plan(here.request(orders()))
    found = {column.name: (column.dtype, column.optional) for column in made.columns}
    assert found == {
        "customer": ("text", False), "product": ("category", False),
        "category": ("category", False),
        "price": ("number", True), "note": ("text", True), "payment": ("category", False)}
    assert [column.name for column in made.columns if column.prose] == ["note"]
    assert (made.key, made.at.zone, made.at.assumed) == ("order_id", "UTC", True)
    assert {each.kept for each in made.left} == {"decided_at"}


@pytest.mark.parametrize(("spelled", "dtype"), [
    ("{}", "integer"), ("-{}", "integer"), ("0{}", "text"), ("{}.0", "text"), ("{}e3", "text"),
    ("9223372036854775{:03}", "text"), ("c{}", "text"),
])
def test_keys_that_are_whole_numbers_are_integers(spelled: str, dtype: str, here: Shop) -> None:
    """Of 64 bits, and as a number is written: 007 is not 7."""
    rows = changed(orders(), lambda number, row: {"customer": spelled.format(800 + number % 9)})
    made, _ = new(here.request(rows), here.home)
    assert {column.name: column.dtype for column in made.columns}["customer"] == dtype
    features = (here.folder / "systems/returns/features.py").read_text()
    assert ("ValueType.INT64" in features) == (dtype == "integer")


ODD: dict[str, Callable[[int, dict[str, str]], dict[str, str]]] = {
    "lines": lambda n, row: {"category": f"{row['category']}\nof the shop"},
    "a separator": lambda n, row: {"payment": f"{row['payment']}\u2028"},
    "long": lambda n, row: {"payment": "x" * 2000 + row["payment"]},
    "keys in lines": lambda n, row: {"order_id": f"o{n}\n"},
    "long keys": lambda n, row: {"order_id": f"{'o' * 300}{n}"},
    "commas": lambda n, row: {"price": row["price"].replace(".", ",")},
    "milliseconds": lambda n, row: {"ordered_at": f"{(START.timestamp() + 12_960 * n) * 1000:.0f}"},
    "seconds": lambda n, row: {"ordered_at": f"{START.timestamp() + 12_960 * n + .5}"},
}


@pytest.mark.parametrize("odd", ODD)
def test_what_new_declares_takes_all_rows_of_its_file(odd: str, here: Shop) -> None:
    """Whatever is in them: a column that new chooses must not break the contract it writes."""
    made = plan(here.request(changed(orders(), ODD[odd]), known_at=None))
    rows = brought(here.folder / "orders.csv").rows
    source = EventRows(
        rows=rows, timestamp=made.timestamp, key=made.key, zone=made.at.zone,
        layout=made.at.layout, columns=tuple(
            Column(name=each.name, dtype=each.dtype, optional=each.optional, minimum=each.minimum,
                   maximum=each.maximum, description="of the file") for each in made.columns))
    archive = list(source.archive(source.fetch(here.folder)))
    assert len(archive) == 600
    for event in archive:
        assert event.problem is None and name_fault(event.event_id, ID_LENGTH) is None
        for column in source.columns:
            taken(column, source.parse(event.request)[column.name])
    assert archive[0].event_timestamp.year == 2024
    left = {each.kept: each.why for each in made.left}
    assert ("decimal comma" in left.get("price", "")) == (odd == "commas")


def test_instants_of_two_layouts_are_refused(here: Shop) -> None:
    """A source reads them alike: no outcome would be known."""
    rows = changed(orders(), lambda n, row: {"decided_at": f"{n % 28 + 1:02d}.03.2025"})
    with pytest.raises(DeclarationError, match=r"decided_at is written as %d\.%m\.%Y, ordered_at "
                       r"as ISO 8601"):
        plan(here.request(rows, known_at="decided_at"))


@pytest.mark.parametrize("name", ["class", "Shop", "1st", "a-b"])
def test_a_name_that_python_cannot_import_is_refused(name: str, here: Shop) -> None:
    with pytest.raises(DeclarationError, match="NAME"):
        new(replace(here.request(orders()), name=name), here.home)


def test_what_pandas_writes_is_read_for_what_it_was(here: Shop) -> None:
    """A column of ids or flags of which one is missing has become floats; a struct is no prose."""
    seen = [{**row, "returned": float(row["returned"] == "yes") if number % 7 else None,
             "customer": float(number % 20) if number % 9 else None, "payment": {"card": number},
             "product": 2**60 + number % 30} for number, row in enumerate(orders())]
    path = here.folder / "orders.parquet"
    pq.write_table(pa.Table.from_pylist(seen), path)
    made = plan(replace(here.request(orders()), file=path))
    found = {column.name: (column.dtype, column.optional) for column in made.columns}
    assert (found["customer"], found["product"]) == (("integer", True), ("integer", False))
    assert made.outcome.kind == "binary"
    assert "product" not in [column.name for column in made.numbers]
    assert {each.kept: each.why for each in made.left}["payment"].startswith("it holds lists, str")


def test_a_number_has_a_unit(here: Shop) -> None:
    """`new` cannot find it out, and nothing but a number has one."""
    rows = changed(orders(), lambda number, row: {"returned": f"{number % 40}.5"})
    with pytest.raises(DeclarationError, match=r"returned holds .*: a quantity.*--unit EUR"):
        plan(here.request(rows))
    made, _ = new(here.request(rows, unit="EUR"), here.home)
    assert made.outcome.why == "returned is 0.5 to 39.5 EUR"
    assert 'unit="EUR"' in (here.folder / "systems/returns/__init__.py").read_text()


def test_the_delay_of_outcomes_is_what_the_file_shows(here: Shop) -> None:
    made = plan(here.request(orders(), known_at="decided_at"))
    assert made.timing.after == timedelta(days=9)
    assert "9 days at most, of 600" in made.timing.delays
    assert made.timing.first_day == date(2024, 1, 1)
    assert date(2024, 2, 15) < made.timing.go_live < date(2024, 3, 15)


def test_without_it_a_delay_is_assumed_or_declared(here: Shop) -> None:
    assert plan(here.request(orders())).timing.after == timedelta(days=7)
    declared = here.request(orders(), after=timedelta(days=3))
    assert plan(declared).timing.after == timedelta(days=3)


@pytest.mark.parametrize(("values", "kind"), [
    (["yes", "no"], "binary"), (["1", "0"], "binary"), (["TRUE", "False"], "binary"),
    (["late", "early", "lost"], "classes"), (["1", "2", "3", "4", "5"], "classes"),
    ([f"{number}.5" for number in range(40)], "number"), ([str(n) for n in range(90)], "number"),
])
def test_the_kind_of_target_is_found_out(values: list[str], kind: str, here: Shop) -> None:
    rows = changed(orders(), lambda number, row: {"returned": values[number % len(values)]})
    made = plan(here.request(rows, unit="min" if kind == "number" else None))
    assert made.outcome.kind == kind
    if kind == "classes":
        assert made.outcome.classes == tuple(sorted(values))


def test_what_was_written_down_afterwards_is_left_out(here: Shop) -> None:
    """A refund there is exactly if the order came back."""
    rows = changed(orders(), lambda number, row: {
        "refund": row["price"] or "1" if row["returned"] == "yes" else "",
        "state": "closed" if row["returned"] == "yes" else "open"})
    left = {each.kept: each.why for each in plan(here.request(rows)).left}
    assert "whether it is missing alone tells 100%" in left["refund"]
    assert "its value alone tells 100%" in left["state"]
    assert "it knows the future: 600 of 600 values are later than the event, orders.csv:2 first" \
        in left["decided_at"]


def test_outcomes_of_another_file_are_found_and_silence_with_them(here: Shop) -> None:
    """Chargebacks list only the cards that were charged back."""
    rows = orders()
    told = [{"order_id": row["order_id"], "is_fraud": "1", "reported": row["decided_at"]}
            for row in rows if row["returned"] == "yes"]
    file = write(here.folder / "told.csv", told)
    bare = [{name: row[name] for name in row if name not in ("returned", "decided_at")}
            for row in rows]
    made = plan(here.request(bare, label="is_fraud", label_file=file, known_at="reported"))
    assert (made.outcome.kind, made.outcome.silence) == ("binary", False)
    assert made.outcomes == 'CsvFile(file="told.csv")'


def test_a_file_of_another_country_is_read(here: Shop) -> None:
    rows = [{"Bestellung ID": row["order_id"], "Datum": row["ordered_at"][8:10] + "." +
             row["ordered_at"][5:7] + ".2024 10:00", "Größe (cm)": str(number % 50),
             "Kunde": row["customer"], "zurück": row["returned"]}
            for number, row in enumerate(orders())]
    file = write(here.folder / "bestellungen.csv", rows, delimiter=";", encoding="cp1252")
    made = plan(here.request(orders(), file=file, timestamp="Datum", label="zurück",
                             entities=("Kunde",)))
    assert made.rows == 'CsvFile(file="bestellungen.csv", encoding="cp1252", separator=";")'
    assert made.at.layout == "%d.%m.%Y %H:%M"
    assert [column.name for column in made.columns] == ["größe_cm", "Kunde"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"timestamp": "ordered"}, r"--timestamp names 'ordered', .* Closest: 'ordered_at'"),
    ({"label": "return"}, r"--label names 'return', .* Closest: 'returned'"),
    ({"entities": ("costumer",)}, r"--entity names 'costumer', .* Closest: 'customer'"),
    ({"known_at": "decided"}, r"--known-at names 'decided', .* Closest: 'decided_at'"),
    ({"key": "customer"}, r"--key names 'customer', which is missing in 0 rows and occurs again"),
    ({"timestamp": "category"}, r"orders.csv:2: category is '\w+', which is no instant "
     r"\(600 of 600 values are none\)"),
    ({"unit": "EUR"}, "--unit says 'EUR', but returned holds no, yes, which is no quantity"),
    ({"target": "number", "unit": "EUR"}, r"returned holds .*; a number target needs numbers"),
    ({"label": "category", "target": "binary"}, "a binary target needs yes and no"),
    ({"label": "order_id"}, "order_id holds 600 values .* Is it the label"),
    ({"after": timedelta(days=80)}, "the rows span 90 days.* no history would have labels"),
    ({"name": "My Returns"}, "expected a lower-case identifier"),
]


@pytest.mark.parametrize(("wrong", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_does_not_fit_the_file_is_refused_and_nothing_written(
    wrong: dict[str, Any], said: str, here: Shop
) -> None:
    with pytest.raises(DeclarationError, match=said):
        new(here.request(orders(), **wrong), here.home)
    assert not list((here.folder / "systems").glob("*/"))


def test_a_label_of_one_value_is_refused(here: Shop) -> None:
    rows = changed(orders(), lambda number, row: {"returned": "no"})
    with pytest.raises(DeclarationError, match=r"'returned', which is 'no' in every row"):
        plan(here.request(rows))


def test_no_rows_are_refused(here: Shop) -> None:
    (here.folder / "empty.csv").write_text("ordered_at,customer,returned\n")
    with pytest.raises(FetchError, match=r"empty.csv has no rows"):
        plan(here.request(orders(), file=here.folder / "empty.csv"))
    with pytest.raises(FetchError, match=r"nowhere.csv is not there"):
        plan(here.request(orders(), file=here.folder / "nowhere.csv"))


def test_a_month_that_may_be_a_day_is_asked_for(here: Shop) -> None:
    rows = changed(orders(), lambda number, row: {"ordered_at": f"0{number % 9 + 1}/02/2024"})
    with pytest.raises(DeclarationError, match=r"may be written as '%d/%m/%Y' or '%m/%d/%Y'"):
        plan(here.request(rows))


def test_an_outcome_before_its_event_is_refused(here: Shop) -> None:
    rows = changed(orders(), lambda number, row: (
        {"decided_at": "2023-12-01 00:00:00"} if number == 5 else {}))
    with pytest.raises(DeclarationError, match=r"the outcome of o5 is known at .*before its event"):
        plan(here.request(rows, known_at="decided_at"))


def test_what_is_written_passes_ruff_and_mypy(here: Shop) -> None:
    """Of every kind of target."""
    kinds = {"binary": ["yes", "no"], "classes": ["late", "in time"],
             "number": [f"{number}.5" for number in range(40)]}
    for name, values in kinds.items():
        rows = changed(orders(), lambda number, row, values=values: {  # type: ignore[misc]
            "returned": values[number % len(values)], "lambda": str(number % 30)})
        new(here.request(rows, name=name, known_at="decided_at",
                         unit="min" if name == "number" else None,
                         entities=("customer", "product")), here.home)
    for tool in (["ruff", "check", "."], ["mypy"]):
        # mypy does not find what is installed as editable; from a wheel it would.
        done = subprocess.run([sys.executable, "-m", *tool], cwd=here.folder, text=True,
                              capture_output=True, check=False,
                              env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{BRIDGE}"})
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_system_is_not_written_over(here: Shop) -> None:
    new(here.request(orders()), here.home)
    with pytest.raises(InstallationRefused, match=r"systems/returns exists"):
        new(here.request(orders()), here.home)


def test_a_project_is_made_once_and_over_nothing(tmp_path: Path) -> None:
    init(tmp_path / "shop")
    with pytest.raises(InstallationRefused, match="is a project already"):
        init(tmp_path / "shop")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "README.md").write_text("mine")
    with pytest.raises(InstallationRefused, match=r"README.md exists; nothing was written"):
        init(tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["README.md"]


def test_the_command_tells_every_choice(here: Shop) -> None:
    write(here.folder / "orders.csv", orders())
    done = CliRunner().invoke(main, [
        "new", "returns", "--from", "orders.csv", "--timestamp", "ordered_at", "--entity",
        "customer", "--label", "returned", "--known-at", "decided_at"])
    assert done.exit_code == 0, done.output
    for said in ("target    binary `returned`", "truth     known 9 days", "zone      UTC, assumed",
                 "key       order_id", "column    price: number",
                 "wrote systems/returns/features.py", "Next: ml-assets check returns"):
        assert said in done.output


@pytest.mark.parametrize("after", ["7", "0d", "7w", "d"])
def test_a_time_is_a_number_and_a_unit(after: str, here: Shop) -> None:
    done = CliRunner().invoke(main, ["new", "x", "--from", "x", "--timestamp", "x", "--entity",
                                     "x", "--label", "x", "--after", after])
    assert "is no time; expected a number and d, h or m: 7d" in done.output
