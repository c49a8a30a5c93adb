"""Laws of the source tree: thin doors, small rooms, short files, one class for a name."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_assets.core.settings import ROOT

HOUSE = ROOT / "ml_assets"
DOORS = sorted([*HOUSE.glob("*/assets.py"), *(HOUSE / "automation").glob("*.py")])
ASSET_LINES, FOLDER_MODULES, FILE_LINES = 30, 14, 300

DEFINES = frozenset({
    "asset", "multi_asset", "graph_asset", "feast_assets", "asset_check", "multi_asset_check",
    "op", "sensor", "asset_sensor", "run_status_sensor", "schedule",
})
"""Decorators that make a function something that Dagster runs."""

# Exceptions that are left, each with its reason. None is to be added; take out what has gone.

SHARED_NAMES = {
    "Column": "of a system; of a stored version",
    "Row": "that contributes to a feature; of a view",
    "Source": "where a system's history comes from; files behind a Feast source",
    "Stream": "of a system; views that read the same columns of an event",
    "Stretch": "of time that a view looked at; of the log that a store follows",
}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def run_by_dagster(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef):
            for each in node.decorator_list:
                called = each.func if isinstance(each, ast.Call) else each
                name = called.attr if isinstance(called, ast.Attribute) else ast.unparse(called)
                if name in DEFINES:
                    yield node


@pytest.mark.parametrize("door", DOORS, ids=lambda path: str(path.relative_to(HOUSE)))
def test_what_dagster_runs_is_at_most_thirty_lines(door: Path) -> None:
    """An asset reads, calls one function of its room and returns.

    From `def` to its last line: the decorator above it is declaration, and may be longer.
    """
    long = {node.name: node.end_lineno - node.lineno + 1 for node in run_by_dagster(door)
            if node.end_lineno and node.end_lineno - node.lineno >= ASSET_LINES}
    assert not long


def test_every_asset_is_seen() -> None:
    """Else the law above would hold of nothing."""
    seen = [node.name for door in DOORS for node in run_by_dagster(door)]
    assert {"raw", "events", "labels", "training_set", "feature_views", "model", "evaluation",
            "deployment", "predictions", "batch_predictions", "outcomes", "drift",
            "performance", "parity", "sensor", "schedule"} <= set(seen)


def test_a_folder_holds_at_most_fourteen_modules() -> None:
    """Past that find the second noun; `__init__.py` does not count."""
    modules: dict[str, int] = defaultdict(int)
    for path in HOUSE.rglob("*.py"):
        modules[str(path.parent.relative_to(ROOT))] += path.name != "__init__.py"
    assert not {folder for folder, count in modules.items() if count > FOLDER_MODULES}


def test_a_file_holds_at_most_three_hundred_lines() -> None:
    long = {str(path.relative_to(ROOT)) for path in HOUSE.rglob("*.py")
            if len(path.read_text().splitlines()) > FILE_LINES}
    assert not long


def test_a_class_name_stands_for_one_class() -> None:
    """One who reads `Service` knows which."""
    homes: dict[str, list[str]] = defaultdict(list)
    for path in sorted(HOUSE.rglob("*.py")):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(path.relative_to(ROOT)))
    shared = {name: places for name, places in homes.items() if len(places) > 1}
    assert not {name: places for name, places in shared.items() if name not in SHARED_NAMES}
