"""A repository in three lines of YAML, in a Dagster project of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dagster_feast import FeastRepoError, describe_repo, load_manifest, read_manifest
from dagster_feast_tests.kit import TWO_VIEWS, table, write_repo

PYPROJECT = """
[project]
name = "rides"
version = "0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "rides"
"""
DEFS = """
type: dagster_feast.FeastRepoComponent
attributes:
  repo_path: ../../../feature_repo
"""
KEYS = """
import json, sys
import dagster as dg
from rides.definitions import defs

keys = [key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()]
print(json.dumps([sorted(keys), sorted({"feast", "torch"} & set(sys.modules))]))
"""
LOAD = """
import json
from pathlib import Path
from rides.definitions import defs
from dagster_feast import FeastResource

result = defs.resolve_implicit_global_asset_job_def().execute_in_process()
store = FeastResource(repo_path=str(Path("feature_repo"))).get_store()
print(json.dumps([result.success, store.get_online_features(
    features=store.get_feature_service("ranking"), entity_rows=[{"driver_id": 1}]).to_dict()]))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dagster project that holds nothing but the component."""
    root = tmp_path_factory.mktemp("project")
    write_repo(root / "feature_repo", TWO_VIEWS.replace("{ROOT}", ""),
               a_rates=table("rate", (1, "2026-01-01T09:00", 0.5)),
               b_trips=table("trips", (1, "2026-01-02T09:00", 5.0)))
    feature_views = root / "rides" / "defs" / "feature_views"
    feature_views.mkdir(parents=True)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "rides" / "__init__.py").touch()
    (root / "rides" / "defs" / "__init__.py").touch()
    (root / "rides" / "definitions.py").write_text(
        "from pathlib import Path\nimport dagster as dg\n"
        "defs = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)\n"
    )
    (feature_views / "defs.yaml").write_text(DEFS)
    return root


def python(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments], cwd=project, check=False, text=True,
        capture_output=True,
        env=os.environ | {
            "PYTHONPATH": os.pathsep.join([str(project), *sys.path]), "DAGSTER_HOME": "",
            "XDG_CACHE_HOME": str(project / "cache"),
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_three_lines_of_yaml_show_and_load_a_repository(project: Path) -> None:
    """Without state nothing is shown; once it is made, no process imports Feast to show it."""
    keys, heavy = json.loads(python(project, "-c", KEYS).splitlines()[-1])
    assert (keys, heavy) == ([], [])
    python(project, "-m", "dagster_dg_cli.cli", "utils", "refresh-defs-state")
    keys, heavy = json.loads(python(project, "-c", KEYS).splitlines()[-1])
    assert keys == ["drivers/a_rates", "drivers/b_trips", "drivers/services/ranking",
                    "drivers/sources/a_rates_rows", "drivers/sources/b_trips_rows"]
    assert heavy == []
    success, read = json.loads(python(project, "-c", LOAD).splitlines()[-1])
    assert success
    assert read == {"driver_id": [1], "rate": [0.5], "trips": [5]}


@pytest.mark.slow
def test_a_kept_description_is_the_manifest(project: Path, tmp_path: Path, cache: Path) -> None:
    kept = tmp_path / "state"
    kept.write_bytes(describe_repo(project / "feature_repo"))
    assert read_manifest(kept) == load_manifest(project / "feature_repo", cache=cache)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"described": 1}'])
def test_a_damaged_description_is_named(tmp_path: Path, content: bytes) -> None:
    kept = tmp_path / "state"
    kept.write_bytes(content)
    with pytest.raises(FeastRepoError, match=r"state holds no description.*refresh-defs-state"):
        read_manifest(kept)
