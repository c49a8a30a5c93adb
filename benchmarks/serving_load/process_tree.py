"""What a server and all the processes it started have used, read from /proc.

Linux only, as the benchmarks are. Nothing here imports more than the standard library: the
load generator reads these figures between two requests.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def members(root: int) -> list[int]:
    """`root` and its living descendants; a process whose parent has died is not found."""
    children: dict[int, list[int]] = {}
    for pid, fields in _all():
        children.setdefault(int(fields[1]), []).append(pid)
    found, look = [], [root]
    while look:
        pid = look.pop()
        found.append(pid)
        look += children.get(pid, [])
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of the tree, including dead members that were waited for."""
    ticks = 0
    for pid in members(root):
        with suppress(OSError):
            ticks += sum(map(int, _stat(pid)[11:15]))
    return ticks / TICKS


def resident_mb(root: int) -> float:
    """Resident memory of the tree in MB; pages that members share count for each of them."""
    pages = 0
    for pid in members(root):
        with suppress(OSError):
            pages += int(_stat(pid)[21])
    return pages * PAGE / 1e6


def private_mb(root: int) -> float:
    """Memory of the tree in MB that nothing but the tree can give back: without pages of files,
    such as those of a mapped database, which the kernel takes away as soon as it needs them.
    """
    kib = 0
    for pid in members(root):
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            kib += sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
    return kib * 1024 / 1e6


def proportional_mb(root: int) -> float:
    """The same, but a page that n processes have mapped counts 1/n for each; costs milliseconds."""
    kb = 0
    for pid in members(root):
        with suppress(OSError):  # a process that has ended has no such file, or nothing in it
            said = Path(f"/proc/{pid}/smaps_rollup").read_text()
            kb += sum(int(line.split()[1]) for line in said.splitlines()
                      if line.startswith("Pss:"))
    return kb * 1024 / 1e6


def end(root: int, *, patience_s: float) -> None:
    """Ask the tree to stop, wait that long, kill what is left."""
    tree = members(root)
    with suppress(ProcessLookupError):
        os.kill(root, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while any(map(_alive, tree)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in tree:
        if _alive(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _alive(pid: int) -> bool:
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False


def _all() -> Iterator[tuple[int, list[str]]]:
    for entry in os.listdir("/proc"):  # noqa: PTH208  (in the load generator: it must be quick)
        if entry.isdigit():
            with suppress(OSError):
                yield int(entry), _stat(int(entry))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; see proc_pid_stat(5)."""
    # The second field, the command, may hold spaces and brackets.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
