"""Whether a process seen before is still alive, and still the same one.

All processes of an installation run on one host and can see each other. A process id alone says
little, because ids are reused. Together with its start time it identifies one process.
"""

from __future__ import annotations

import os

TOLERANCE_S = 2.0
"""How precisely a start time is known: the kernel counts from a boot time with a resolution of
one second."""


def this_process() -> str:
    """The name of this process for `is_alive`, valid after its end and in other processes."""
    started = _started(os.getpid())
    assert started is not None, "this process is alive"
    return f"{os.getpid()}@{started:.2f}"


def is_alive(name: str) -> bool:
    """Whether the process named `name` is alive. Any other text names no process."""
    pid, _, at = name.partition("@")
    try:
        started = _started(int(pid))
        return started is not None and abs(started - float(at)) <= TOLERANCE_S
    except (ValueError, OverflowError):
        return False


def has_lived_since(pid: int, instant: float) -> bool:
    """Whether process `pid` is alive and has been since `instant`, seconds since 1970."""
    started = _started(pid)
    return started is not None and started <= instant + TOLERANCE_S


def _started(pid: int) -> float | None:
    """When the living process `pid` started, seconds since 1970; None if there is none."""
    import psutil

    try:
        process = psutil.Process(pid)
        # A killed process that its parent has not waited for is a zombie.
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return float(process.create_time())
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return None
