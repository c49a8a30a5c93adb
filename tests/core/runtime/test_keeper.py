"""Children end with their parent, however it ends, and so do theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from ml_assets.core.runtime import keeper

PARENT = """
import sys, time
from pathlib import Path
from ml_assets.core.runtime import keeper
with open(sys.argv[1], "wb") as log:
    kept = keeper.start([sys.executable, "-c", sys.argv[2], sys.argv[3]], output=log)
    print(kept.pid, flush=True)
    time.sleep(60)
"""

CHILD = """
import os, subprocess, sys, time
from pathlib import Path
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
Path(sys.argv[1] + ".new").write_text(f"{os.getpid()} {grandchild.pid}")
Path(sys.argv[1] + ".new").rename(sys.argv[1])
time.sleep(60)
"""

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + CHILD


def wait_for(true: object, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def gone(*pids: int) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"
                   for pid in pids)


def family(tmp_path: Path, child: str = CHILD) -> tuple[subprocess.Popen[str], list[int]]:
    """A parent; and its keeper, child and grandchild."""
    pids = tmp_path / "pids"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log"), child, str(pids)],
        stdout=subprocess.PIPE, text=True,
    )
    assert parent.stdout is not None
    kept = int(parent.stdout.readline())
    parent.stdout.close()
    assert wait_for(pids.exists)
    return parent, [kept, *map(int, pids.read_text().split())]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_children_and_grandchildren_end_with_a_parent_that_is_killed(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Also with kill -9, of which nobody is told."""
    parent, pids = family(tmp_path)
    assert not gone(pids[1])
    parent.send_signal(number)
    parent.wait()
    assert wait_for(lambda: gone(*pids))


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG")
def test_the_child_ends_with_a_keeper_that_is_killed(tmp_path: Path) -> None:
    """Who watches the keeper: the kernel."""
    parent, pids = family(tmp_path)
    os.kill(pids[0], signal.SIGKILL)
    assert wait_for(lambda: gone(*pids[:2]))
    parent.kill()
    parent.wait()
    os.kill(pids[2], signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG")
def test_a_server_of_a_benchmark_ends_with_the_benchmark(tmp_path: Path) -> None:
    """Benchmarks measure their servers without a keeper between."""
    code = ("import sys, time\nfrom pathlib import Path\n"
            "from benchmarks.serving_load.servers import start\n"
            "server = start('x', [sys.executable, '-c', 'import time; time.sleep(60)'], port=0,"
            " log=Path(sys.argv[1]))\nprint(server.pid, flush=True)\ntime.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], text=True,
                          stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        assert not gone(server)
        parent.kill()
    assert wait_for(lambda: gone(server))


def test_a_child_that_ignores_sigterm_is_killed_after_some_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper's own patience, shortened."""
    impatient = tmp_path / "keeper.py"
    impatient.write_text(
        Path(keeper.__file__).read_text().replace("PATIENCE_S = 20.0", "PATIENCE_S = 0.3"))
    monkeypatch.setattr(keeper, "__file__", str(impatient))
    pids = tmp_path / "pids"
    with (tmp_path / "log").open("wb") as log:
        kept = keeper.start([sys.executable, "-c", STUBBORN, str(pids)], output=log)
    assert wait_for(pids.exists)
    keeper.stop(kept)
    assert kept.returncode == 128 + signal.SIGKILL
    assert wait_for(lambda: gone(*map(int, pids.read_text().split())))


def test_the_keeper_ends_as_its_command_does(tmp_path: Path) -> None:
    """Its status and its words are the command's."""
    with (tmp_path / "log").open("wb") as log:
        kept = keeper.start(
            [sys.executable, "-c", "import os; print(os.environ['WORD']); raise SystemExit(7)"],
            output=log, env={**os.environ, "WORD": "hello"}, cwd=tmp_path,
        )
    assert kept.wait(10) == 7
    keeper.stop(kept)
    assert (tmp_path / "log").read_text() == "hello\n"
