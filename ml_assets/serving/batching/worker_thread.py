"""One thread on which the calls of an event loop run one after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class WorkerThread:
    """Runs calls in the order in which they came.

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
        """Returns when every call has been made."""
        self._calls.put(None)
        self._thread.join()

    def do(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """What `call` returns or raises. It runs even if nobody waits for it any more."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((call, future))
        return future

    def _work(self) -> None:
        while (entry := self._calls.get()) is not None:
            call, future = entry
            value, error = None, None
            try:
                value = call()
            except BaseException as raised:  # this thread lives on, whatever a call does
                error = raised
            with suppress(RuntimeError):  # the loop was closed: nobody waits
                future.get_loop().call_soon_threadsafe(_resolve, future, value, error)
            del entry, call, future, value, error  # until the next call comes


def fail(future: asyncio.Future[Any], error: BaseException) -> None:
    """Let whoever awaits it get `error`, also one that no future can hold."""
    if isinstance(error, StopIteration):
        told = RuntimeError("a call raised StopIteration")
        told.__cause__ = error
        error = told
    future.set_exception(error)


def _resolve(future: asyncio.Future[Any], value: object, error: BaseException | None) -> None:
    if future.done():  # its task was cancelled
        return
    if error is not None:
        fail(future, error)
    else:
        future.set_result(value)
