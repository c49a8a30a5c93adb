"""From the first request to the last: what is opened before, runs beside and is closed after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from ml_assets.core.objects.watch import StoreWatch
from ml_assets.core.runtime.sparse_log import MINUTE_S, SparseLog
from ml_assets.serving.access.known_tokens import KnownTokens
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.batching.executor import Executor
from ml_assets.serving.http.fault_log import note_error
from ml_assets.serving.telemetry.metrics import Metrics

if TYPE_CHECKING:
    # Imported only if traces are switched on: its libraries are an extra.
    from ml_assets.serving.telemetry.traces import Traces


class Lifespan:
    """Opens the systems, lets their shadows score while the API is idle, and closes them.

    tokens, store: followed meanwhile; store is None if all is in files
    waiting: how many requests wait for a batch
    """

    def __init__(
        self, systems: Sequence[ServedSystem], tokens: KnownTokens, store: StoreWatch | None,
        executor: Executor, waiting: Callable[[], int], explainer: ThreadPoolExecutor,
        metrics: Metrics, traces: Traces | None, lines: SparseLog,
    ) -> None:
        self._systems, self._tokens, self._store = systems, tokens, store
        self._executor, self._waiting = executor, waiting
        self._explainer, self._metrics, self._traces = explainer, metrics, traces
        self._lines = lines

    @asynccontextmanager
    async def __call__(self, app: Starlette) -> AsyncIterator[None]:
        self._executor.start()
        self._tokens.start()
        if self._store is not None:
            await asyncio.to_thread(self._store.start)
        for system in self._systems:
            await self._executor.on_worker(system.open)
        await asyncio.to_thread(self._tokens.wait)
        self._metrics.open()
        background = [asyncio.create_task(each()) for each in (self._shadow, self._tell)]
        yield
        while self._waiting():
            await asyncio.sleep(0.01)  # they came, and are logged, though nobody waits any more
        for task in background:
            task.cancel()
            await asyncio.wait([task])
        for system in self._systems:
            await self._executor.on_worker(system.close)
        self._tokens.stop()
        if self._store is not None:
            self._store.stop()
        self._metrics.close()
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)
        self._executor.stop()
        self._explainer.shutdown()
        self._lines.tell_rest(all_of_them=True)

    async def _shadow(self) -> None:
        """Let shadows score what was answered, a turn at a time, while no request waits."""
        while True:
            await self._executor.idle.wait()
            self._executor.idle.clear()
            # A request that comes meanwhile is next; once it is answered, this goes on.
            while not self._executor and (waiting := self._unshadowed()):
                try:
                    await self._executor.on_worker(waiting[0].shadow)
                except Exception as error:
                    note_error(self._lines, error, "a shadow's turn, which is lost,")

    async def _tell(self) -> None:
        """Say from time to time how many lines of the log were held back."""
        while True:
            await asyncio.sleep(MINUTE_S / 2)
            self._lines.tell_rest()

    def _unshadowed(self) -> list[ServedSystem]:
        return [system for system in self._systems if system.shadows]
