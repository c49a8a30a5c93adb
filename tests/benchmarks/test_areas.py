"""Every area of `ml-assets bench` runs as the README and `make bench` call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.bench import Measurement, show
from ml_assets.cli import main
from ml_assets.core.settings import ROOT

(AREA,) = (each for each in main.commands["bench"].params if each.name == "area")
assert isinstance(AREA.type, click.Choice)
AREAS: list[str] = list(AREA.type.choices)

FIGURES = st.floats() | st.integers(0, 10**9)
MEASUREMENTS = st.builds(
    Measurement, bench=st.text(), ours=FIGURES, peer=st.none() | FIGURES, unit=st.text(),
    ratio=st.none() | FIGURES, goal=st.text(), met=st.booleans(),
    equal=st.none() | st.booleans(), note=st.text(), not_measured=st.none() | st.text(),
)


@given(st.lists(MEASUREMENTS, max_size=3), st.booleans())
def test_any_measurement_can_be_shown(found: list[Measurement], as_json: bool) -> None:
    """Also one beside a peer whose ratio says nothing: how many modules, say."""
    missed = any(not each.met and each.not_measured is None for each in found)
    assert show(found, as_json=as_json) == int(missed)


@pytest.mark.bench
@pytest.mark.parametrize(
    "area", [pytest.param(area, marks=pytest.mark.corpus) if area == "faults" else area
             for area in AREAS])
def test_a_quick_run_of_every_area_ends_with_figures(area: str, tmp_path: Path) -> None:
    """Half a minute to three each, six for the systems. A goal may be missed on a busy machine;
    nothing may fail, and what must never happen may not happen.
    """
    done = subprocess.run(
        [sys.executable, "-m", "ml_assets.cli", "bench", area, "--quick", "--json"], cwd=ROOT,
        env={**os.environ, "ML_ASSETS_VAR": str(tmp_path / "var")}, capture_output=True,
        text=True, timeout=1200, check=False,
    )
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr
    found: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    measured = [each for each in found if each["not_measured"] is None]
    assert measured and all(each["goal"] for each in measured)
    assert [each for each in measured if each["goal"] == "never" and each["ours"]] == []
    assert done.returncode == int(any(not each["met"] for each in measured))


def test_make_bench_runs_every_area() -> None:
    assert f"for area in {' '.join(AREAS)}; do" in (ROOT / "Makefile").read_text()
