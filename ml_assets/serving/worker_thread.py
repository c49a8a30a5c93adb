"""One thread on which calls run one after the other, asked and answered on an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class WorkerThread:
    """Runs calls in the order in which they were asked.

    A thread pool of one does the same at twice the price: it has two locks and two kinds of
    futures for each call, and wakes the loop through callbacks.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None]
        self._calls = SimpleQueue()
        # A server that is told twice to stop does not close: it must not wait for this.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when everything that was asked has been done."""
        self._calls.put(None)
        self._thread.join()

    async def do(self, call: Callable[[], T]) -> T:
        """What `call` returns or raises. It runs even where nobody waits for it any more."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((call, future))
        return await future

    def _work(self) -> None:
        while (asked := self._calls.get()) is not None:
            call, future = asked
            value, error = None, None
            try:
                value = call()
            except Exception as raised:
                error = raised
            future.get_loop().call_soon_threadsafe(_settle, future, value, error)
            del asked, call, future, value, error  # until the next call comes


def _settle(future: asyncio.Future[Any], value: object, error: Exception | None) -> None:
    if future.done():  # its task was cancelled
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)
