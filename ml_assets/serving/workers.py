"""Several processes that answer on one socket, and a parent that does nothing but keep them."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from time import monotonic

from ml_assets.core.errors import MlAssetsError

log = logging.getLogger(__name__)

WATCHED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
QUICK_SECONDS = 1.0
"""Between two starts: one that dies at once, again and again, must not fill the machine."""

Run = Callable[[int, Callable[[], None]], None]
"""Serve until SIGTERM as the worker of this number, counted from 0; call the function given once
requests are answered."""


class WorkerEnded(MlAssetsError, ChildProcessError):
    """A worker could not start, so none is left running."""


class WorkerProcesses:
    """Keeps `count` forked processes at work; one that dies is replaced.

    They share what was opened before, the listening socket above all, so that connections wait
    for whoever is free and survive a worker that ends before it has accepted them. The parent
    must have no threads, and no SQLite file open.
    """

    def __init__(
        self, count: int, run: Run, ready: Callable[[], None],
        stopping: Callable[[], None] = lambda: None,
    ) -> None:
        """Both are called in the parent, once: `ready` when all workers answer, `stopping` when
        they are to stop. A listening socket that it kept would go on taking connections.
        """
        self._count, self._run, self._ready, self._stopping = count, run, ready, stopping
        self._at_work: dict[int, int] = {}
        """Number by process id. The worker that replaces a dead one takes its number."""
        self._forked_at = 0.0

    def keep(self) -> None:
        """Returns after SIGTERM, SIGINT or SIGHUP, once all have finished what they accepted.

        Raises WorkerEnded if one ends before it answers at the first start.
        """
        # Blocked, they wait for `sigtimedwait`, so none is lost between two looks.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        self._told, self._tell = os.pipe()
        self._alive, self._life = os.pipe()
        os.set_blocking(self._told, False)
        try:
            for number in range(self._count):
                self._fork(number, before)
            self._watch(before)
        finally:
            self._stop()
            for end in (self._told, self._tell, self._alive, self._life):
                os.close(end)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _watch(self, mask: set[signal.Signals | int]) -> None:
        answering = 0
        while True:
            caught = signal.sigtimedwait(WATCHED, 0.1)
            if caught is not None and caught.si_signo != signal.SIGCHLD and not _ignored(
                caught.si_signo
            ):
                return
            ended = self._reap()
            if answering < self._count:
                answering += self._heard()
                if answering >= self._count:
                    self._ready()
                elif ended:
                    raise WorkerEnded(
                        f"a worker ended with {ended[0]} before it answered; it said why above"
                    )
            for status in ended:
                log.error("a worker ended with %s; another replaces it", status)
            free = set(range(self._count)).difference(self._at_work.values())
            if free and monotonic() - self._forked_at > QUICK_SECONDS:
                self._fork(min(free), mask)

    def _heard(self) -> int:
        try:
            return len(os.read(self._told, self._count))
        except BlockingIOError:
            return 0

    def _reap(self) -> list[int]:
        """The exit statuses of those that have ended; negative is a signal."""
        ended = []
        for pid in list(self._at_work):
            ended_pid, status = os.waitpid(pid, os.WNOHANG)
            if ended_pid:
                del self._at_work[pid]
                ended.append(os.waitstatus_to_exitcode(status))
        return ended

    def _stop(self) -> None:
        self._stopping()
        for pid in self._at_work:
            os.kill(pid, signal.SIGTERM)
        for pid in self._at_work:
            os.waitpid(pid, 0)
        self._at_work.clear()

    def _fork(self, number: int, mask: set[signal.Signals | int]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            self._at_work[pid] = number
            self._forked_at = monotonic()
            return
        status = 1
        try:
            os.close(self._life)
            threading.Thread(target=self._end_with_parent, daemon=True).start()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._run(number, self._answers)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            # Not sys.exit: the parent's code above must not go on in the child.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _answers(self) -> None:
        os.write(self._tell, b".")

    def _end_with_parent(self) -> None:
        """The parent never writes: what ends the reading is its end, however it came."""
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        os.read(self._alive, 1)
        os.kill(os.getpid(), signal.SIGTERM)


def _ignored(number: int) -> bool:
    """Whether whoever started us has it ignored, as `nohup` has SIGHUP.

    A blocked signal is kept even then. SIGINT stops all the same: shells ignore it for what they
    start in the background.
    """
    return number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN
