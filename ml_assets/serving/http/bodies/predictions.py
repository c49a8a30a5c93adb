"""Bodies in, predictions out: one queue for each system, from which micro-batches are taken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import Protocol

import msgspec

from ml_assets.core.runtime.isolation import isolate
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.ingest.log.event_log import Prediction
from ml_assets.serving.answer.intake.admission import EventRequest
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.batching.executor import Executor
from ml_assets.serving.batching.micro_batches import MicroBatches
from ml_assets.serving.contract.decoding import decode, decode_batch
from ml_assets.serving.contract.protocol import (
    PredictAnswer,
    PredictBatchAnswer,
    PredictBatchRequest,
    PredictRequest,
    ProblemAnswer,
)
from ml_assets.serving.http.answers import answers_for
from ml_assets.serving.http.fault_log import note_error
from ml_assets.serving.http.responses import refusal_of

Answers = list[PredictAnswer | Exception]
Queue = MicroBatches[bytes, PredictAnswer]

ONE = msgspec.json.Decoder(PredictRequest)
MANY = msgspec.json.Decoder(PredictBatchRequest)


class Batcher(Protocol):
    """Makes the queue of one system, as `MicroBatches` does."""

    def __call__(self, run: Run, /) -> Queue: ...


class Run(Protocol):
    def __call__(self, bodies: Sequence[bytes], /) -> Answers | Awaitable[Answers]: ...


class Predictions:
    """Decodes bodies, lets the systems predict, and makes answers of what they say.

    executor: where it runs
    batcher: makes the queues
    lines: where faults of events in a batch are logged
    """

    def __init__(
        self, systems: Mapping[str, ServedSystem], executor: Executor, batcher: Batcher,
        lines: SparseLog,
    ) -> None:
        self._executor, self._lines = executor, lines
        self._answer_of = {name: answers_for(system.system.target)
                           for name, system in systems.items()}
        self.queues = {name: batcher(partial(self._run, system))
                       for name, system in systems.items()}

    def __len__(self) -> int:
        """How many requests wait."""
        return sum(map(len, self.queues.values()))

    def waiting(self, system: str) -> int:
        """How many of them are requests of this system."""
        return len(self.queues[system])

    async def one(self, system: ServedSystem, body: bytes) -> PredictAnswer:
        """Raises Overloaded, or the error of this request."""
        return await self.queues[system.system.name].ask(body)

    async def batch(self, system: ServedSystem, body: bytes) -> PredictBatchAnswer:
        """Raises RequestRefused, Overloaded, NotReady or LogUnavailable, for the whole batch."""
        return await self._executor.in_line(lambda: self.answer_batch(system, body))

    def answer(
        self, system: ServedSystem, bodies: Sequence[bytes], *, waits: bool = True
    ) -> Answers:
        """Requests that came one by one, answered as one batch; each its answer or its error.

        Raises NotReady or LogUnavailable, for all.

        waits: for another process that is writing the log; else LogBusy is raised
        """
        requests = isolate(_event_request, bodies)
        return self._answers(system, system.predictor.predict(requests, waits=waits))

    def answer_batch(self, system: ServedSystem, body: bytes) -> PredictBatchAnswer:
        requests = [each if isinstance(each, Exception) else _request_of(each)
                    for each in decode_batch(MANY, ONE, body)]
        return PredictBatchAnswer(predictions=[
            self._problem(system, answer) if isinstance(answer, Exception) else answer
            for answer in self._answers(system, system.predictor.predict(requests, wave=True))
        ])

    def _run(
        self, system: ServedSystem, bodies: Sequence[bytes]
    ) -> Answers | asyncio.Future[Answers]:
        return self._executor.batch(lambda waits: self.answer(system, bodies, waits=waits))

    def _answers(
        self, system: ServedSystem, predictions: Sequence[Prediction | Exception]
    ) -> Answers:
        answer = self._answer_of[system.system.name]
        return [each if isinstance(each, Exception) else answer(each) for each in predictions]

    def _problem(self, system: ServedSystem, error: Exception) -> ProblemAnswer:
        note_error(self._lines, error, f"an event of a batch for {system.system.name}")
        return ProblemAnswer(error=refusal_of(error).problem)


def _event_request(body: bytes) -> EventRequest:
    return _request_of(decode(ONE, body))


def _request_of(request: PredictRequest) -> EventRequest:
    return EventRequest(event=bytes(request.event), event_id=request.event_id,
                        event_timestamp=request.event_timestamp)
