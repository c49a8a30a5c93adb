"""Requests that wait at the same moment are answered as one batch, and none waits for another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from datetime import timedelta
from functools import partial
from typing import Generic, TypeVar

from ml_assets.core.errors import Overloaded
from ml_assets.core.runtime.isolation import isolate
from ml_assets.serving.batching.worker_thread import fail

Request = TypeVar("Request")
Answer = TypeVar("Answer")

LONGEST_QUEUE = 1024
"""Requests that may wait; at the slowest measured rate about half a second's work."""
LARGEST_BATCH = 256
"""As many as a client may send at once: the log is locked no longer for one than the other."""
RETRY_AFTER = timedelta(seconds=1)


class MicroBatches(Generic[Request, Answer]):
    """Hands everything that waits to `run` at once, whenever `run` is free.

    No timer: what became readable in one turn of the event loop, or came while the batch
    before was at work, is the next batch; a request that comes alone goes alone, at once.
    Batches are run one after the other, requests in the order in which they came. All calls
    on the event loop.

    run: an answer for each request, in order, or the error that the request gets, at once or to
    be awaited; what it raises itself, all get
    """

    def __init__(
        self,
        run: Callable[[Sequence[Request]], Sequence[Answer | Exception]
                      | Awaitable[Sequence[Answer | Exception]]],
        *,
        longest_queue: int = LONGEST_QUEUE,
        largest_batch: int = LARGEST_BATCH,
    ) -> None:
        self._run, self._longest, self._largest = run, longest_queue, largest_batch
        self._waiting: deque[tuple[Request, Callable[[Answer | Exception], object]]] = deque()
        self._busy = False
        self._context = Context()
        """A batch is nobody's alone: what is logged in it has no request's id."""

    def __len__(self) -> int:
        """How many requests wait for a batch; those at work are not among them."""
        return len(self._waiting)

    def put(self, request: Request, done: Callable[[Answer | Exception], object]) -> None:
        """`done` is called once, later, and must not raise; with Overloaded if too many wait."""
        if len(self._waiting) >= self._longest:
            asyncio.get_running_loop().call_soon(done, Overloaded(
                f"{len(self._waiting)} requests wait already, which is as many as may; this one "
                "was not read. Send it again later, with the same event_id", RETRY_AFTER,
            ))
            return
        self._waiting.append((request, done))
        if not self._busy:
            self._busy = True
            # In the next turn of the loop: whatever was readable in this one is in it.
            asyncio.get_running_loop().call_soon(self._turn, context=self._context)

    async def ask(self, request: Request) -> Answer:
        """The answer. Raises Overloaded if too many wait, or the request's error."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def done(answer: Answer | Exception) -> None:
            if future.done():  # its client was given up while the server stopped
                return
            if isinstance(answer, Exception):
                fail(future, answer)
            else:
                future.set_result(answer)

        self.put(request, done)
        return await future

    def _turn(self) -> None:
        waiting = self._waiting
        batch = [waiting.popleft() for _ in range(min(len(waiting), self._largest))]
        try:
            answers = self._run([request for request, _ in batch])
        except Exception as error:
            answers = [error] * len(batch)
        dones = [done for _, done in batch]
        if isinstance(answers, Sequence):
            self._tell(dones, answers)
        else:
            asyncio.ensure_future(answers).add_done_callback(
                partial(self._ended, dones), context=self._context)

    def _ended(
        self, dones: Sequence[Callable[[Answer | Exception], object]],
        running: asyncio.Future[Sequence[Answer | Exception]],
    ) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = running.result()
        except Exception as error:
            answers = [error] * len(dones)
        except BaseException as error:  # nobody is left without an answer
            fault = RuntimeError("a batch was given up")
            fault.__cause__ = error
            answers = [fault] * len(dones)
        self._tell(dones, answers)

    def _tell(
        self, dones: Sequence[Callable[[Answer | Exception], object]],
        answers: Sequence[Answer | Exception],
    ) -> None:
        """What waits by now is the next batch, after a look at what has become readable."""
        self._busy = bool(self._waiting)
        if self._busy:
            asyncio.get_running_loop().call_soon(self._turn, context=self._context)
        told = isolate(lambda each: each[0](each[1]), zip(dones, answers, strict=True))
        for fault in told:
            if isinstance(fault, Exception):  # once all others have theirs
                raise fault
