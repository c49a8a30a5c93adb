"""Bodies in, slates out: one queue for each system that answers with slates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import Protocol

import msgspec

from ml_assets.core.errors import unknown
from ml_assets.core.runtime.isolation import isolate
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.answer.slates.ranker import Ranker
from ml_assets.serving.answer.slates.slate import RankRequest
from ml_assets.serving.batching.executor import Executor
from ml_assets.serving.batching.micro_batches import MicroBatches
from ml_assets.serving.contract.decoding import decode
from ml_assets.serving.contract.protocol import PostedRanking, RankAnswer
from ml_assets.serving.http.answers import rank_answer

Answers = list[RankAnswer | Exception]
Queue = MicroBatches[bytes, RankAnswer]

ONE = msgspec.json.Decoder(PostedRanking)
LARGEST_BATCH = 8
"""Requests that are ranked at once: each has up to a thousand candidates, and requests of other
systems wait meanwhile."""


class SlateBatcher(Protocol):
    """Makes the queue of one system, as `MicroBatches` does."""

    def __call__(self, run: RankBatch, /, *, largest_batch: int) -> Queue: ...


class RankBatch(Protocol):
    def __call__(self, bodies: Sequence[bytes], /) -> Answers | Awaitable[Answers]: ...


class Rankings:
    """Decodes bodies, lets the systems rank, and makes answers of what they say.

    executor: where it runs
    batcher: makes the queues
    """

    def __init__(
        self, systems: Mapping[str, ServedSystem], executor: Executor, batcher: SlateBatcher
    ) -> None:
        self._executor = executor
        self.queues: dict[str, Queue] = {
            name: batcher(partial(self._run, system, system.ranker), largest_batch=LARGEST_BATCH)
            for name, system in systems.items() if system.ranker is not None
        }

    def __len__(self) -> int:
        """How many requests wait."""
        return sum(map(len, self.queues.values()))

    def waiting(self, system: str) -> int:
        """How many requests of one system do."""
        return len(self.queues[system]) if system in self.queues else 0

    async def one(self, system: ServedSystem, body: bytes) -> RankAnswer:
        """Raises UnknownName if the system answers with no slates, Overloaded, or the error of
        this request."""
        name = system.system.name
        if name not in self.queues:
            raise unknown("system that answers with slates", name, self.queues)
        return await self.queues[name].ask(body)

    def _run(
        self, system: ServedSystem, ranker: Ranker, bodies: Sequence[bytes]
    ) -> Answers | asyncio.Future[Answers]:
        def rank(waits: bool) -> Answers:
            slates = ranker.rank(isolate(_request_of, bodies), waits=waits)
            return [each if isinstance(each, Exception) else rank_answer(system.system, each)
                    for each in slates]

        return self._executor.batch(rank)


def _request_of(body: bytes) -> RankRequest:
    posted = decode(ONE, body)
    return RankRequest(event=bytes(posted.event), event_id=posted.event_id,
                       event_timestamp=posted.event_timestamp, candidates=posted.candidates,
                       n=posted.n)
