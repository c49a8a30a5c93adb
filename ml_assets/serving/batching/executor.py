"""Where the calls of an API run: on the event loop or on one worker thread, never on both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from ml_assets.core.errors import LogBusy, Overloaded
from ml_assets.serving.batching.loop_budget import LoopBudget
from ml_assets.serving.batching.micro_batches import RETRY_AFTER
from ml_assets.serving.batching.worker_thread import WorkerThread

T = TypeVar("T")

LONGEST_LINE = 64
"""Batches, feedback and look-ups that may wait for the worker: of full batches, a few seconds."""


class Executor:
    """Runs one call at a time. All methods on the event loop.

    So requests for the same event meet one after the other, and the second finds the answer of
    the first. What is quick may run on the loop while nobody else is at work: to hand it to a
    thread and back costs as much as a part of it. All else, and whatever might wait, for another
    process that is writing or for a disk, runs on the worker; meanwhile the loop goes on reading
    requests and telling that the process lives.

    at_once: whether anything may run on the loop
    idle: set when nobody waits any more
    """

    def __init__(self, *, at_once: bool) -> None:
        self._at_once, self._budget = at_once, LoopBudget()
        self._worker = WorkerThread("predict")
        self._at_work = 0
        self.idle = asyncio.Event()

    def __len__(self) -> int:
        """How many wait for the worker or are on it."""
        return self._at_work

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Returns when every call has been made."""
        self._worker.stop()

    async def in_line(self, call: Callable[[], T]) -> T:
        """`call` on the worker. Raises Overloaded at once if too many others wait for it."""
        if self._at_work >= LONGEST_LINE:
            raise Overloaded(f"{self._at_work} calls wait already, which is as many as may; this "
                             "one was not read. Send it again later", RETRY_AFTER)
        return await self.on_worker(call)

    def on_worker(self, call: Callable[[], T]) -> asyncio.Future[T]:
        self._at_work += 1
        future = self._worker.do(call)
        future.add_done_callback(self._left)
        return future

    def batch(self, call: Callable[[bool], T]) -> T | asyncio.Future[T]:
        """What `call` makes, here and now if batches are quick, otherwise on the worker.

        call: told whether to wait for other processes; if not, it may raise LogBusy, and is
        called again on the worker
        """
        def timed(waits: bool) -> T:
            started = monotonic()
            try:
                return call(waits)
            finally:
                self._budget.took(monotonic() - started)

        if self._at_once and self._budget.is_quick and not self._at_work:
            try:
                made = timed(False)
            except LogBusy:
                pass
            else:
                asyncio.get_running_loop().call_soon(self._tell_idle)
                return made
        return self.on_worker(lambda: timed(True))

    def _left(self, _: asyncio.Future[Any]) -> None:
        self._at_work -= 1
        # Soon, not now: first whoever asked goes on from here, and sends the answer.
        asyncio.get_running_loop().call_soon(self._tell_idle)

    def _tell_idle(self) -> None:
        if not self._at_work:
            self.idle.set()
