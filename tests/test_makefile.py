"""Every target of the Makefile runs to its end, with commands that exist.

The programs of the environment are stand-ins that write down how they were called; what they
do by themselves is tested elsewhere: the loop, the API, the benchmarks, the checks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ml_assets.core.settings import ROOT
from tests.benchmarks.test_areas import AREAS
from tests.pages import require_valid

TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
BRIDGE = "packages/dagster-feast"
PROGRAMS = {"python", "ml-assets", "ruff", "mypy", "lint-imports", "npm"}

STAND_IN = """#!{python}
import json, os, pathlib, sys
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
if sys.argv[1:3] == ["-m", "pip"] and sys.argv[3] == "freeze":
    print("torch==2.13.0+cpu")
if sys.argv[1:3] == ["-m", "venv"]:
    (pathlib.Path(sys.argv[3]) / "bin").mkdir(parents=True)
    (pathlib.Path(sys.argv[3]) / "bin" / "python").symlink_to(os.path.abspath(sys.argv[0]))
if sys.argv[1:3] == ["bench", os.environ.get("MISSES")]:
    sys.exit(1)
"""


class Checkout:
    """A folder with the Makefile, what it reads, and an environment of stand-ins."""

    def __init__(self, folder: Path, *, installed: bool = True) -> None:
        self.folder, self.calls = folder, folder / "calls"
        for name in ("Makefile", "pyproject.toml", "constraints.txt", f"{BRIDGE}/pyproject.toml"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        self.path = folder / "path"
        for place in (self.path, *([folder / ".venv" / "bin"] if installed else [])):
            place.mkdir(parents=True)
            for program in PROGRAMS:
                (place / program).write_text(STAND_IN.format(python=sys.executable))
                (place / program).chmod(0o755)
        if installed:
            (folder / ".venv" / "installed").touch()

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *arguments, f"PYTHON={self.path / 'python'}"], cwd=self.folder, text=True,
            capture_output=True, check=False, timeout=60,
            # Other tests leave the folder of an installation in the environment.
            env={**os.environ, "CALLS": str(self.calls), "MAKEFLAGS": "", "ML_ASSETS_VAR": "",
                 "PATH": f"{self.path}:{os.environ['PATH']}", **environment},
        )

    def called(self) -> list[list[str]]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [json.loads(line) for line in lines]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_runs_to_its_end(target: str, checkout: Checkout) -> None:
    done = checkout.make(target)
    assert done.returncode == 0, done.stderr
    for program, *arguments in checkout.called():
        if program == "ml-assets":
            require_valid(arguments)
    if target not in ("help", "setup", "clean"):
        assert checkout.called()


def test_setup_installs_torch_first_and_once(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path, installed=False)
    assert checkout.make("setup").returncode == 0
    venv, torch, everything = checkout.called()[:3]
    assert venv[1:] == ["-m", "venv", ".venv"]
    assert torch[1:4] == ["-m", "pip", "install"] and torch[-1].startswith("torch==")
    assert everything[-4:] == ["--editable", BRIDGE, "--editable", ".[dev]"]
    before = len(checkout.called())
    assert checkout.make("setup").returncode == 0
    assert len(checkout.called()) == before


def test_bench_measures_all_areas_although_one_misses_its_goal(checkout: Checkout) -> None:
    done = checkout.make("bench", MISSES="features")
    assert done.returncode != 0 and "not all goals met: features" in done.stdout
    assert [call[2] for call in checkout.called()] == AREAS


def test_lock_pins_without_the_name_of_a_build(checkout: Checkout) -> None:
    assert checkout.make("lock").returncode == 0
    assert (checkout.folder / "constraints.txt").read_text() == "torch==2.13.0\n"


def test_clean_removes_the_environment_alone(checkout: Checkout) -> None:
    (checkout.folder / "var").mkdir()
    assert checkout.make("clean").returncode == 0
    assert not (checkout.folder / ".venv").exists() and (checkout.folder / "var").exists()


def test_a_run_on_the_cluster_has_what_its_servers_have_written_down(checkout: Checkout) -> None:
    refused = checkout.make("run", "PROFILE=cluster")
    assert refused.returncode != 0 and "no cluster runs: make cluster" in refused.stdout
    assert checkout.called() == []
    (checkout.folder / "var" / "cluster").mkdir(parents=True)
    (checkout.folder / "var" / "cluster" / "environment").write_text("MISSES='of the cluster'\n")
    assert checkout.make("run", "PROFILE=cluster", "SYSTEM=shop").returncode == 0
    assert checkout.called() == [["ml-assets", "run", "shop"]]
