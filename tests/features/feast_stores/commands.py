"""Feast's own commands, as they are typed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ml_assets.core.settings import ROOT

TYPED = """
import shlex
import sys

from dagster_feast.describe import check_when_called

check_when_called()  # half of what importing Feast costs

from feast.cli.cli import cli

for command in sys.argv[1:]:
    print("$", command, flush=True)
    cli.main(shlex.split(command), standalone_mode=False)
"""


def feast(repository: Path, *commands: str) -> list[str]:
    """What each command prints; all of them by one process, whose imports take seconds."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TYPED, *commands], cwd=repository, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout.split("$ ")[1:]
