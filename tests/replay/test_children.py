"""What `ml-assets run` and `ml-assets ui` start ends with them, `kill -9` included."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from ml_assets.core.settings import ROOT

REPLAY = """
import sys, time
from pathlib import Path
from ml_assets.core.settings import Settings
from ml_assets.replay.together.apis import running_api
from ml_assets.systems import find
with running_api(Settings(var=Path(sys.argv[1])), [find("spam")]) as apis:
    print(apis["spam"].http.base_url.port, flush=True)
    time.sleep(60)
"""

UI = """
import sys, time
from pathlib import Path
from ml_assets.core.settings import Settings
from ml_assets.services import ServiceProcess, _running
sleeping = (sys.executable, "-c", "import time; time.sleep(60)")
wanted = [ServiceProcess(name=name, command=sleeping, what="") for name in ("one", "two")]
with _running(Settings(var=Path(sys.argv[1])), wanted):
    print("up", flush=True)
    time.sleep(60)
"""


def descendants(pid: int, at_least: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
        if len(found) >= at_least:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{found} after half a minute, expected {at_least}")


@pytest.mark.parametrize(("code", "at_least"), [(REPLAY, 2), (UI, 4)], ids=["run", "ui"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill-9", "sigterm"])
def test_children_end_with_their_parent_however_it_ends(
    tmp_path: Path, code: str, at_least: int, number: signal.Signals
) -> None:
    """Nothing is left that could hold a port or a file of the installation."""
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "var")], text=True, cwd=ROOT,
                          stdout=subprocess.PIPE, env={**os.environ}) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        started = descendants(parent.pid, at_least)
        parent.send_signal(number)
    _, alive = psutil.wait_procs(started, timeout=15)
    assert alive == []
