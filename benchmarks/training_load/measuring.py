"""A loop in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ml_assets.core.errors import MlAssetsError
from ml_assets.core.settings import ROOT


class PeerFailed(MlAssetsError, RuntimeError):
    """A measured process ended badly; the message ends with what it said."""


@dataclass(frozen=True, kw_only=True)
class Took:
    """What a training took and came to.

    peak_mb: resident, libraries included; losses: on the validation rows, by epoch; weights: a
    digest of their bits
    """

    cpu_s: float
    wall_s: float
    peak_mb: float
    losses: list[float]
    weights: str


def took(loop: str, *arguments: object, python: Path = Path(sys.executable)) -> Took:
    """What the loop in the module `loop` beside this one took. Raises PeerFailed."""
    done = subprocess.run(
        [python, "-m", f"benchmarks.training_load.{loop}", *map(str, arguments)], cwd=ROOT,
        capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PeerFailed(f"the loop {loop!r} ended with status {done.returncode}:\n"
                         f"{done.stderr[-2000:]}")
    return Took(**json.loads(done.stdout.splitlines()[-1]))
