"""The package can be lifted out: it leans on Dagster, Feast and the standard library alone."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ml_assets.features import feast_assets
from ml_assets.features.feast_assets import FeastManifest

PACKAGE = Path(feast_assets.__file__).parent
AT_ONCE = {"dagster", *sys.stdlib_module_names}
WHEN_NEEDED = {"feast", "google", "yaml"}
"""Feast, and two packages that come with it: they cost seconds to import."""


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


def test_a_copy_under_another_name_works(
    tmp_path: Path, repo: Path, cache: Path, manifest: FeastManifest
) -> None:
    shutil.copytree(PACKAGE, tmp_path / "dagster_feast")
    code = (
        "from dagster_feast import build_feast_asset_specs, load_manifest\n"
        f"found = load_manifest({str(repo)!r}, cache={str(cache)!r})\n"
        "print(len(build_feast_asset_specs(found)), found.digest)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, check=True, text=True,
        capture_output=True, env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.split() == ["12", manifest.digest]
