"""The page about the lake in SQL: its examples run as they stand."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from types import ModuleType
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster_duckdb import DuckDBResource

from ml_assets.core.settings import ROOT, Settings
from ml_assets.core.system import System
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.lake_in_sql import open_lake
from ml_assets.ingest.resources import lake_resource
from ml_assets.ingest.tables import outcomes_schema, tables_of
from ml_assets.systems import SYSTEMS
from ml_assets.systems.spam import SPAM

OUTCOMES = outcomes_schema(SPAM)

PAGE = (ROOT / "docs" / "lake-in-sql.md").read_text()


def python_of(page: str) -> list[str]:
    text = (ROOT / page).read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


ASSET, NOTEBOOK = python_of("docs/lake-in-sql.md")


def user_module() -> Any:
    module = ModuleType("reports")
    exec(compile(ASSET, "reports.py", "exec", dont_inherit=True), module.__dict__)
    return module


def write_outcomes(settings: Settings, days_from_go_live: int, version: int, wrong: int) -> None:
    """Ten outcomes of sound mail, of which `wrong` had been called spam."""
    day = SPAM.calendar.go_live + timedelta(days=days_from_go_live)
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    rows = [(f"p{number}", f"e{number}", at, at, False, "silence", version, 0.9, number < wrong,
             "champion", 1.0, None) for number in range(10)]
    Lake(settings.lake).write(
        "spam", "outcomes", day, pd.DataFrame(rows, columns=OUTCOMES.names), OUTCOMES)


def test_the_asset_of_the_page_counts_false_alarms(settings: Settings) -> None:
    """Seven days up to the partition: neither the day before them nor the day after."""
    for number, version, wrong in ((0, 1, 9), (1, 1, 2), (7, 2, 3), (8, 2, 9)):
        write_outcomes(settings, number, version, wrong)
    day = SPAM.calendar.go_live + timedelta(days=7)
    result = dg.materialize(
        [user_module().false_alarms], partition_key=day.isoformat(),
        resources={"duckdb": lake_resource(settings, SYSTEMS)},
    )
    (told,) = result.asset_materializations_for_node("false_alarms")
    assert told.metadata["dagster/row_count"].value == 20
    table = str(told.metadata["by_version"].value)
    assert re.findall(r"\| +(\d+) \| +(\d+) \| +(\d+) \|", table) == [
        ("1", "10", "2"), ("2", "10", "3")]


def test_the_asset_of_the_readme_counts_false_alarms(settings: Settings) -> None:
    days = (date(2002, 8, 31) - SPAM.calendar.go_live).days
    write_outcomes(settings, days, 1, 9)
    write_outcomes(settings, days + 1, 1, 3)
    (example,) = [code for code in python_of("README.md") if "lake.spam" in code]
    names: dict[str, Any] = {"dg": dg, "DuckDBResource": DuckDBResource}
    exec(compile(example, "README.md", "exec", dont_inherit=True), names)
    result = dg.materialize(
        [names["false_alarms"]], resources={"duckdb": lake_resource(settings, SYSTEMS)})
    assert result.output_for_node("false_alarms") == 3


def test_the_definitions_of_the_page_hold_ours_and_the_asset() -> None:
    graph = user_module().defs.get_repository_def().asset_graph
    node = graph.get(dg.AssetKey("false_alarms"))
    assert node.parent_keys == {dg.AssetKey(["spam", "outcomes"])}


def test_the_notebook_of_the_page_shows_each_day(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ML_ASSETS_VAR", str(settings.var))
    exec(NOTEBOOK, {})
    assert "count_star()" in capsys.readouterr().out


BUILT_IN = ("raw", "events", "quarantine")
"""The tables of the stream that predictions are made for."""


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_the_page_lists_every_table(settings: Settings, system: System) -> None:
    listed = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    own = {name for stream in system.streams for name in (
        stream.table, stream.raw, stream.quarantine)} - set(BUILT_IN)
    own |= {name for table in system.tables for name in (table.name, table.quarantine)}
    lacks = {name for name, declared in (("audits", system.feedback.audit),
                                         ("candidates", system.target.slates)) if declared is None}
    assert [name for name in tables_of(system) if name not in own] == [
        name for name in listed if name not in lacks]
    with open_lake(settings.lake, [system]) as connection:
        shown = connection.sql(
            f"select view_name from duckdb_views() where schema_name = '{system.name}'")
        assert {name for (name,) in shown.fetchall()} == set(tables_of(system))
