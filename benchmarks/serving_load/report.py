"""All figures of a run, with the machine that produced them: `var/benchmarks/serving.json`."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.serving_load.speed import Series
from ml_assets.core.settings import ROOT

PATH = ROOT / "var" / "benchmarks" / "serving.json"


class Report:
    """Collects figures by run and server."""

    def __init__(self, *, quick: bool) -> None:
        self._said: dict[str, dict[str, dict[str, object]]] = {}
        self._about = {
            "began": datetime.now(UTC).isoformat(), "quick": quick,
            "machine": _machine(),
        }

    def note(self, run: str, server: str, figures: dict[str, object]) -> None:
        self._said.setdefault(run, {}).setdefault(server, {}).update(figures)

    def add(self, run: str, server: str, **series: Series) -> None:
        """The figures of some series, by name."""
        self.note(run, server, {name: each.told() for name, each in series.items()})

    def write(self, path: Path = PATH) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**self._about, "runs": self._said}, indent=1))


def _machine() -> dict[str, object]:
    """Cores, processor and how busy it was before: others may work on the same machine."""
    model = next((line.partition(":")[2].strip() for line in
                  Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
                 platform.machine())
    return {"cores": len(os.sched_getaffinity(0)), "processor": model,
            "load_before": os.getloadavg(), "python": platform.python_version(),
            "kernel": platform.release()}
