"""A message is taken in as the body of a POST is: by the same contracts, ids, clock and log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import DeclarationError, unknown
from ml_assets.core.runtime.isolation import isolate
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.texts import ID_LENGTH, name_fault
from ml_assets.ingest.log.event_log import Prediction
from ml_assets.ingest.log.told import ToldEvent
from ml_assets.serving.answer.intake.admission import EventRefused, EventRequest
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.broker.messages import BrokerMessage, Refusal
from ml_assets.serving.contract.decoding import decode
from ml_assets.serving.contract.protocol import PostedEvent
from ml_assets.serving.http.bodies.told_events import ONE
from ml_assets.serving.http.fault_log import note_error
from ml_assets.serving.http.responses import refusal_of

Taken = Sequence[Prediction | ToldEvent | Exception]


class Door:
    """Takes the messages of one queue into the log of one system.

    An event of the asked stream is predicted, and its answer is in the log; any other is told.

    stream: whose events they are; None if each message says it: the last word of its subject
    lines: where faults are logged
    """

    def __init__(self, system: ServedSystem, stream: str | None, lines: SparseLog) -> None:
        """Raises UnknownName if there is no such stream, DeclarationError if its events cannot be
        answered here."""
        self.system, self._lines = system, lines
        streams = {each.name: each for each in system.system.streams}
        if stream is not None and stream not in streams:
            raise unknown(f"stream of {system.system.name!r}", stream, streams)
        if system.system.target.slates is not None:
            asked = system.system.asked.name
            if stream == asked:
                raise DeclarationError(
                    f"the events of {asked!r} ask for slates, which whoever waits for one gets "
                    f"from POST /v1/{system.system.name}/rank; from a broker other streams are "
                    f"taken: {', '.join(each for each in streams if each != asked) or 'none'}")
            del streams[asked]
        self._streams = streams
        self._stream = None if stream is None else streams[stream]

    @property
    def asks(self) -> bool:
        """Whether any of the messages may want a prediction."""
        return any(each.asked for each in (
            self._streams.values() if self._stream is None else (self._stream,)))

    def take(self, messages: Sequence[BrokerMessage]) -> list[Refusal | None]:
        """Store all that can be; why the others cannot, in order.

        Raises LogUnavailable, and NotReady if predictions are asked for and there is no model:
        then nothing is stored, or what was is found again when they are taken once more.
        """
        refusals: list[Refusal | None] = [None] * len(messages)
        by_stream: dict[str, list[int]] = {}
        for row, message in enumerate(messages):
            by_stream.setdefault(self._named(message), []).append(row)
        for name, rows in by_stream.items():
            for row, each in zip(rows, self._take(name, [messages[row] for row in rows]),
                                 strict=True):
                if isinstance(each, Exception):
                    refusals[row] = self._refusal(name, each)
        return refusals

    def _named(self, message: BrokerMessage) -> str:
        return message.subject.rpartition(".")[2] if self._stream is None else self._stream.name

    def _take(self, name: str, messages: Sequence[BrokerMessage]) -> Taken:
        if name not in self._streams:
            return [EventRefused("unknown_stream", str(unknown(
                f"stream of {self.system.system.name!r}", name, self._streams,
                "The last word of a message's subject names its stream")), "stream")
            ] * len(messages)
        requests = isolate(_request_of, messages)
        return self._intake(self._streams[name])(requests)

    def _intake(self, stream: Stream) -> Callable[[Sequence[EventRequest | Exception]], Taken]:
        return self.system.predictor.predict if stream.asked else partial(
            self.system.told.take, stream)

    def _refusal(self, stream: str, error: Exception) -> Refusal:
        note_error(self._lines, error, f"a message for {self.system.system.name}/{stream}")
        problem = refusal_of(error).problem
        return Refusal(problem.code, problem.message)


def _request_of(message: BrokerMessage) -> EventRequest:
    """Raises RequestRefused, and EventRefused if nothing says which event it is."""
    posted: PostedEvent = decode(ONE, message.body)
    event_id = posted.event_id
    if event_id is None:
        if not message.message_id:
            raise EventRefused(
                "no_event_id", "neither the message nor its body has an id, and a message that is "
                "delivered twice would count twice. Give the body an `event_id`, or the message "
                "an id: `Nats-Msg-Id` (NATS) or `message_id` (AMQP)", "event_id")
        if (fault := name_fault(message.message_id, ID_LENGTH)) is not None:
            raise EventRefused("invalid_request", f"the message's id: {fault}", "event_id")
        event_id = message.message_id
    return EventRequest(event=bytes(posted.event), event_id=event_id,
                        event_timestamp=posted.event_timestamp)
