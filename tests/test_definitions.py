"""The whole graph: what it holds, and that loading it stays light."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from ml_assets.core.settings import ROOT, Settings, Steps
from ml_assets.core.system import System
from ml_assets.definitions import defs, executor_of
from ml_assets.features.manifest import load_manifest
from ml_assets.systems import SYSTEMS

SNAPSHOT = Path(__file__).parent / "graph.txt"
HEAVY = {"torch", "feast", "mlflow"}
DAGSTER_ROOMS = {"assets.py", "resources.py", "definitions.py", "consoles.py"}
DAGSTER_FOLDERS = {"automation", "replay"}


def graph() -> str:
    """Every asset with what it depends on and its checks, then jobs, sensors, schedules."""
    repository = defs.get_repository_def()
    nodes = repository.asset_graph
    lines = []
    for key in sorted(nodes.get_all_asset_keys(), key=lambda key: key.to_user_string()):
        node = nodes.get(key)
        parents = ", ".join(sorted(parent.to_user_string() for parent in node.parent_keys))
        lines.append(f"{key.to_user_string()} [{node.group_name}] <- {parents or 'nothing'}")
        for check in sorted(node.check_keys, key=lambda check: check.name):
            blocking = "blocking" if nodes.get(check).blocking else "warning"
            lines.append(f"    {check.name} ({blocking})")
    for kind, names in (
        ("job", [job.name for job in repository.get_all_jobs()]),
        ("sensor", [sensor.name for sensor in repository.sensor_defs]),
        ("schedule", [schedule.name for schedule in repository.schedule_defs]),
    ):
        lines += [f"{kind} {name}" for name in sorted(names) if not name.startswith("__")]
    return "\n".join(lines) + "\n"


def test_the_graph_is_the_one_that_was_agreed_on() -> None:
    """A changed arrow must be meant: UPDATE_SNAPSHOTS=1 writes the new graph for review."""
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(graph())
    assert graph() == SNAPSHOT.read_text()


def test_loading_the_definitions_imports_no_heavy_library() -> None:
    """Every process of Dagster pays for the imports: torch, Feast and MLflow cost 8 CPU s."""
    code = ("import json, sys, ml_assets.definitions;"
            "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))")
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True,
                            text=True, cwd=ROOT).stdout
    assert HEAVY.isdisjoint(json.loads(output))


def test_dagster_is_imported_at_the_rooms_doors_only() -> None:
    """The rest of a room is plain Python that a notebook can call."""
    for path in sorted((ROOT / "ml_assets").rglob("*.py")):
        if path.name in DAGSTER_ROOMS or path.parent.name in DAGSTER_FOLDERS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [])
            assert not [n for n in names if n.split(".")[0] in ("dagster", "dagster_duckdb")], path


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_asset_of_a_system_says_what_it_is(system: System) -> None:
    """Description, owner, kind and group: what one reads in the UI."""
    nodes = defs.get_repository_def().asset_graph
    mine = [key for key in nodes.get_all_asset_keys() if key.path[0] == system.name]
    assert len(mine) > 10
    for key in mine:
        node = nodes.get(key)
        assert len(node.description or "") > 40, key
        assert node.owners, key
        assert node.group_name.startswith(f"{system.name}_"), key
        assert [tag for tag in node.tags if tag.startswith("dagster/kind/")], key


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_no_feature_can_take_the_name_of_an_asset_of_the_platform(system: System) -> None:
    nodes = defs.get_repository_def().asset_graph
    assets = {key.path[1] for key in nodes.get_all_asset_keys()
              if key.path[0] == system.name and len(key.path) == 2}
    manifest = load_manifest(Settings())
    features = {view.removeprefix(f"{system.name}_") for view in manifest.views_of(system.name)
                if view != f"{system.name}_scores"} | {system.feature_service}
    assert assets - features <= system.own_assets


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_computed_asset_has_a_code_version(system: System) -> None:
    """Without one, staleness in the UI is wrong."""
    for asset in defs.assets or ():
        if isinstance(asset, dg.AssetsDefinition) and asset.is_executable:
            for key in asset.keys:
                if key.path[0] == system.name:
                    assert asset.code_versions_by_key[key], key


@pytest.mark.parametrize(("steps", "name"), [
    ("run", "in_process"), ("ray", "ray"), ("kubernetes", "k8s")])
def test_steps_are_executed_where_the_setting_says(steps: Steps, name: str) -> None:
    for library in ("dagster_ray", "dagster_k8s"):
        pytest.importorskip(library)
    assert executor_of(Settings(steps=steps, ray="head:6379")).name == name


@pytest.mark.parametrize(("setting", "fault"), [
    ("runs='ray'", "ML_ASSETS_RUNS or ML_ASSETS_STEPS is 'ray', but dagster-ray is not installed: "
     "pip install 'ml-assets[ray]'"),
    ("steps='ray'", "dagster-ray is not installed"),
    ("steps='kubernetes'", "ML_ASSETS_STEPS is 'kubernetes', but dagster-k8s is not installed: "
     "pip install 'ml-assets[k8s]'"),
])
def test_a_cluster_whose_library_is_missing_is_refused_with_what_to_install(
    setting: str, fault: str, tmp_path: Path
) -> None:
    code = f"""import sys; from pathlib import Path
for name in ("dagster_ray", "dagster_k8s"): sys.modules[name] = None
from ml_assets.automation.instance import prepare_home
from ml_assets.core.settings import Settings
from ml_assets.definitions import executor_of
settings = Settings(var=Path({str(tmp_path)!r}), ray="head:6379", {setting})
prepare_home(settings); executor_of(settings)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          check=False)
    assert fault in done.stderr.splitlines()[-1]


def test_without_the_setting_neither_ray_nor_dagster_ray_is_imported(tmp_path: Path) -> None:
    code = """import sys, ml_assets.definitions
from ml_assets.automation.instance import instance
from ml_assets.core.settings import Settings
with instance(Settings.from_environment()) as opened:
    opened.run_launcher
print([each for each in ("ray", "dagster_ray", "dagster_k8s") if each in sys.modules])"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True,
                          text=True, cwd=ROOT, check=True,
                          env={**os.environ, "ML_ASSETS_VAR": str(tmp_path / "var")})
    assert done.stdout == "[]\n"
