"""Children that end with their parent, however it ends: a small process between the two.

`start` runs a command under a keeper, `python keeper.py COMMAND...`. The parent holds the other
end of the keeper's standard input and never writes, so the input ends exactly when the parent
does, even on `kill -9`. The keeper then stops the command, as it would on SIGTERM: SIGTERM, some
patience, SIGKILL to the whole process group. No process of the group outlives the command.

It imports the standard library only: a keeper costs about 10 MB and no CPU.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

PATIENCE_S = 20.0
"""How long a command may take to finish before its group is killed."""
PR_SET_PDEATHSIG = 1


def start(
    command: Sequence[str],
    *,
    output: IO[bytes],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` under a keeper, in its own session; returns the keeper.

    Its exit status is the command's. SIGTERM to it stops the command, after PATIENCE_S at the
    latest.
    """
    return subprocess.Popen(
        [sys.executable, "-I", __file__, *command], stdin=subprocess.PIPE, stdout=output,
        stderr=output, env=env, cwd=cwd, start_new_session=True,
    )


def stop(keeper: subprocess.Popen[bytes], *, within_s: float = PATIENCE_S + 5) -> None:
    """End what `start` started and wait for it."""
    keeper.terminate()
    try:
        keeper.wait(within_s)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()
    if keeper.stdin is not None:
        keeper.stdin.close()


def ending_with_us() -> Callable[[], None]:
    """A `preexec_fn` for a child that gets SIGTERM once this process has died. Linux only.

    For children without a keeper, and for a keeper's own child, since a keeper may be killed too.
    The thread that starts the child must live as long as the process.
    """
    if sys.platform != "linux":
        return lambda: None
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def in_the_child() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(128 + signal.SIGTERM)

    return in_the_child


def keep(command: Sequence[str]) -> int:
    """Run `command` until it ends, SIGTERM comes or the standard input ends; its exit status."""
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    told_to_stop = False

    def stop_soon(*_: object) -> None:
        nonlocal told_to_stop
        told_to_stop = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop_soon)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler it would not wake us
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=ending_with_us()
    )
    deadline: float | None = None
    ends = [sys.stdin.fileno(), awake]
    while child.poll() is None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select(ends, [], [], left)
        if awake in readable:
            os.read(awake, 4096)
        if ends[0] in readable and ends[0] != awake and not os.read(ends[0], 4096):
            told_to_stop, ends = True, [awake]
        if told_to_stop and deadline is None:
            deadline = time.monotonic() + PATIENCE_S
            child.terminate()
        elif deadline is not None and time.monotonic() >= deadline:
            _kill_group(child.pid)
    # Its own children may outlive it: Dagster's code servers do.
    _kill_group(child.pid)
    return child.returncode


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    status = keep(sys.argv[1:])
    sys.exit(status if status >= 0 else 128 - status)
