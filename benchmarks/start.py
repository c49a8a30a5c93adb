"""What it costs to load the Dagster definitions, which every Dagster process pays."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from ml_assets.bench import Measurement
from ml_assets.core.settings import ROOT

GOAL_CPU_S = 2.5
HEAVY = ("torch", "feast", "mlflow")

OURS = """
import json, resource, sys
import ml_assets.definitions
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "modules": sorted(sys.modules)}))
"""
PEER = OURS.replace("import ml_assets.definitions", "import dagster, torch, feast, mlflow")
"""The cost of definitions that import their heavy libraries at the top, as most do."""


def measure(*, quick: bool) -> Iterator[Measurement]:
    """CPU seconds (median of fresh processes, the manifest cached) and forbidden modules."""
    runs = 3 if quick else 9
    _load(OURS)  # builds the Feast manifest if it is not cached
    ours, peers, modules = [], [], set[str]()
    for _ in range(runs):
        cpu_s, modules = _load(OURS)
        ours.append(cpu_s)
        peers.append(_load(PEER)[0])
    mine, peer = median(ours), median(peers)
    yield Measurement(
        bench="start: load the definitions", ours=mine, peer=peer, unit="CPU s",
        ratio=peer / mine, goal=f"under {GOAL_CPU_S} CPU s", met=mine < GOAL_CPU_S, equal=None,
    )
    heavy = [name for name in HEAVY if name in modules]
    yield Measurement(
        bench="start: heavy libraries imported", ours=len(heavy), peer=len(HEAVY), unit="modules",
        ratio=None, goal=f"none of {', '.join(HEAVY)}", met=not heavy, equal=None,
    )


def _load(code: str) -> tuple[float, set[str]]:
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    loaded = json.loads(output.splitlines()[-1])
    return float(loaded["cpu_s"]), set(loaded["modules"])
