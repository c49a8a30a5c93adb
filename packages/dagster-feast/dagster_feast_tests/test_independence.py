"""The package leans on Dagster, Feast and the standard library alone."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import dagster_feast

PACKAGE = Path(dagster_feast.__file__).parent
AT_ONCE = {"dagster", *sys.stdlib_module_names}
WHEN_NEEDED = {"feast", "google", "typeguard", "yaml"}
"""Feast, and three packages that come with it: they cost seconds to import."""


def imported(nodes: list[ast.AST]) -> set[str]:
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes
              if isinstance(node, ast.ImportFrom) and node.level == 0}
    return {name.partition(".")[0] for name in names}


def test_it_imports_nothing_else_and_feast_only_inside_functions() -> None:
    for path in PACKAGE.glob("*.py"):
        module = ast.parse(path.read_text())
        assert imported(list(module.body)) <= AT_ONCE, path
        assert imported(list(ast.walk(module))) <= AT_ONCE | WHEN_NEEDED, path
