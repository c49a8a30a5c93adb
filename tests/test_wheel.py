"""What is built works where nothing else of this repository is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml_assets.core.settings import ROOT
from tests.projects.kit import orders, write

LEFT = shutil.ignore_patterns(".git", ".venv", "var", "*.egg-info", "build", "__pycache__",
                              ".*_cache")
PACKAGES = ("packages/dagster-feast", ".")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One into which our wheels are installed, with the dependencies of this one."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(self, *command: str, cwd: Path) -> str:
        done = subprocess.run(command, cwd=cwd, env=self.variables, text=True,
                              capture_output=True, check=False)
        assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-3000:])
        return done.stdout

    @property
    def variables(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith("ML_ASSETS_") and name != "PYTHONPATH"}
        return kept | {"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", ignore=LEFT, symlinks=True)
    for package in PACKAGES:
        pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "wheels"),
            str(folder / "source" / package))
    made = Environment(folder=folder / "environment")
    venv.create(made.folder, symlinks=True)
    pip("--python", str(made.python), "install", "--no-deps", "--no-index",
        *map(str, sorted((folder / "wheels").glob("*.whl"))))
    # The dependencies of this environment, without its editable installs: those are in `.pth`
    # files, which Python reads in its own folder alone.
    [own] = made.folder.glob("lib/python*/site-packages")
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    shutil.rmtree(folder / "source")
    return made


def pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments, "--quiet",
                           "--disable-pip-version-check"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_the_definitions_load_from_the_wheel_in_an_empty_folder(
    environment: Environment, tmp_path: Path
) -> None:
    said = environment.run(
        str(environment.python), "-c",
        "import ml_assets, ml_assets.definitions as d;"
        "from ml_assets.core.settings import Settings;"
        "print(ml_assets.__file__); print(Settings().var);"
        "print(len(d.defs.get_repository_def().asset_graph.get_all_asset_keys()))",
        cwd=tmp_path)
    home, var, count = said.splitlines()[-3:]
    assert Path(home).is_relative_to(environment.folder)
    assert (Path(home).parent / "py.typed").exists()
    assert Path(var) == tmp_path / "var"
    assert int(count) > 20


@pytest.mark.slow
def test_a_project_is_made_declared_and_checked_with_the_wheel(
    environment: Environment, tmp_path: Path
) -> None:
    ml_assets = str(environment.folder / "bin" / "ml-assets")
    environment.run(ml_assets, "init", "shop", cwd=tmp_path)
    shop = tmp_path / "shop"
    write(shop / "orders.csv", orders())
    environment.run(ml_assets, "new", "returns", "--from", "orders.csv", "--timestamp",
                    "ordered_at", "--entity", "customer", "--label", "returned", "--known-at",
                    "decided_at", cwd=shop)
    found = environment.run(ml_assets, "check", "returns", cwd=shop)
    assert "ok    features   3 features of 2 views" in found
    assert "fail" not in found
    keys = environment.run(
        str(environment.python), "-c", "from ml_assets.definitions import defs;"
        "graph = defs.get_repository_def().asset_graph;"
        "print(*{key.path[0] for key in graph.get_all_asset_keys()})",
        cwd=shop)
    assert keys.split()[-1] == "returns"
