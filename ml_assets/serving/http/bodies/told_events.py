"""Bodies in, acknowledgements out: one queue for each stream that events are posted to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from ml_assets.core.data.streams import Stream
from ml_assets.core.runtime.isolation import isolate
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.ingest.log.told import ToldEvent
from ml_assets.serving.answer.intake.admission import EventRequest
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.batching.executor import Executor
from ml_assets.serving.batching.micro_batches import MicroBatches
from ml_assets.serving.contract.decoding import decode, decode_batch
from ml_assets.serving.contract.protocol import (
    EventAnswer,
    EventBatchAnswer,
    PostedBatchRequest,
    PostedEvent,
    ProblemAnswer,
)
from ml_assets.serving.http.fault_log import note_error
from ml_assets.serving.http.responses import refusal_of

Told = list[EventAnswer | Exception]

ONE = msgspec.json.Decoder(PostedEvent)
MANY = msgspec.json.Decoder(PostedBatchRequest)


class ToldEvents:
    """Decodes bodies and lets the systems take them in.

    executor: where it runs
    lines: where faults of events in a batch are logged
    """

    def __init__(
        self, systems: Mapping[str, ServedSystem], executor: Executor, lines: SparseLog
    ) -> None:
        self._executor, self.lines = executor, lines
        self.queues: dict[tuple[str, str], MicroBatches[bytes, EventAnswer]] = {
            (name, stream.name): MicroBatches(partial(self._run, system, stream))
            for name, system in systems.items() for stream in system.told.streams.values()
        }

    def __len__(self) -> int:
        """How many requests wait."""
        return sum(map(len, self.queues.values()))

    def waiting(self, system: str) -> int:
        """How many of them are requests of this system."""
        return sum(len(queue) for (name, _), queue in self.queues.items() if name == system)

    async def one(self, system: ServedSystem, stream: str, body: bytes) -> EventAnswer:
        """Raises UnknownName, Overloaded, or the error of this request."""
        return await self.queues[system.system.name, system.told.stream(stream).name].ask(body)

    async def batch(self, system: ServedSystem, stream: str, body: bytes) -> EventBatchAnswer:
        """Raises UnknownName, RequestRefused, Overloaded or LogUnavailable, for the batch."""
        of = system.told.stream(stream)
        return await self._executor.in_line(lambda: self._take_batch(system, of, body))

    def _take_batch(self, system: ServedSystem, stream: Stream, body: bytes) -> EventBatchAnswer:
        requests = [each if isinstance(each, Exception) else _request_of(each)
                    for each in decode_batch(MANY, ONE, body)]
        return EventBatchAnswer(events=[
            self._problem(system, stream, each) if isinstance(each, Exception)
            else event_answer(each) for each in system.told.take(stream, requests)
        ])

    def _run(
        self, system: ServedSystem, stream: Stream, bodies: Sequence[bytes]
    ) -> Told | asyncio.Future[Told]:
        def take(waits: bool) -> Told:
            requests = isolate(lambda body: _request_of(decode(ONE, body)), bodies)
            return [each if isinstance(each, Exception) else event_answer(each)
                    for each in system.told.take(stream, requests, waits=waits)]

        return self._executor.batch(take)

    def _problem(
        self, system: ServedSystem, stream: Stream, error: Exception
    ) -> ProblemAnswer:
        note_error(self.lines, error,
                   f"an event of a batch for {system.system.name}/{stream.name}")
        return ProblemAnswer(error=refusal_of(error).problem)


def _request_of(posted: PostedEvent) -> EventRequest:
    return EventRequest(event=bytes(posted.event), event_id=posted.event_id,
                        event_timestamp=posted.event_timestamp)


def event_answer(told: ToldEvent) -> EventAnswer:
    return EventAnswer(event_id=told.event_id, stream=told.stream,
                       event_timestamp=told.event_timestamp, accepted_at=told.accepted_at)
