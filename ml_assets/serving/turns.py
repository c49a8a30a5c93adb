"""Requests that wait at the same moment are answered as one batch, and none waits for another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from itertools import islice
from typing import Generic, TypeVar

from ml_assets.core.errors import Overloaded
from ml_assets.serving.worker_thread import fail

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

LONGEST_QUEUE = 1024
"""Requests that may wait; at the slowest measured rate about half a second's work."""
LARGEST_BATCH = 256
"""As many as a client may send at once: the log is locked no longer for one than the other."""
RETRY_AFTER = timedelta(seconds=1)


class Turns(Generic[Asked, Answer]):
    """Hands everything that waits to `run` at once, whenever `run` is free.

    No timer: what became readable in one turn of the event loop, or came while the batch
    before was at work, is the next batch; a request that comes alone goes alone, at once.
    Batches are run one after the other, requests in the order in which they came. All calls
    on the event loop.

    run: an answer for each request, in order, or the error that the request gets; what it
    raises itself, all get
    """

    def __init__(
        self,
        run: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer | Exception]]],
        *,
        longest_queue: int = LONGEST_QUEUE,
    ) -> None:
        self._run, self._longest = run, longest_queue
        self._waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._draining: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many requests wait for a batch; those at work are not among them."""
        return len(self._waiting)

    async def ask(self, asked: Asked) -> Answer:
        """The answer. Raises Overloaded at once where too many wait, or the request's error."""
        if len(self._waiting) >= self._longest:
            raise Overloaded(
                f"{len(self._waiting)} requests wait already, which is as many as may; this one "
                "was not looked at. Send it again later, with the same event_id", RETRY_AFTER,
            )
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._draining is None:
            # It starts in the next turn of the loop: whatever was readable in this one is in it.
            self._draining = asyncio.create_task(self._drain())
        return await answer

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch = list(islice(self._waiting, LARGEST_BATCH))
                for _ in batch:
                    self._waiting.popleft()
                await self._answer(batch)
        finally:
            self._draining = None

    async def _answer(self, batch: list[tuple[Asked, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._run([asked for asked, _ in batch])
        except Exception as error:
            answers = [error] * len(batch)
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if waiting.done():  # its client was given up while the server stopped
                continue
            if isinstance(answer, Exception):
                fail(waiting, answer)
            else:
                waiting.set_result(answer)
