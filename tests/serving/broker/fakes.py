"""A queue in memory, which a test can break."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from ml_assets.serving.broker.clients import BrokerUnavailable
from ml_assets.serving.broker.messages import BrokerMessage, Outgoing


@dataclass(kw_only=True)
class FakeQueue:
    """What is delivered and not acknowledged comes again to who opens it next.

    losses: how often the connection is still to be lost, as what is stored is acknowledged
    """

    waiting: list[BrokerMessage] = field(default_factory=list)
    dead: list[Outgoing] = field(default_factory=list)
    losses: int = 0
    opened: int = 0
    kept: int = 0

    def put(self, *bodies: object, subject: str = "visits", message_id: str | None = None) -> None:
        for each in bodies:
            body = each if isinstance(each, bytes) else json.dumps(each).encode()
            self.waiting.append(BrokerMessage.of(
                body, subject, message_id, {}, position=None, redelivered=False, handle=None))

    def open(self) -> FakeSource:
        self.opened += 1
        return FakeSource(self)


@dataclass
class FakeSource:
    """A `BrokerSource` of it."""

    queue: FakeQueue
    delivered: int = 0
    found: int = 0

    def receive(self, most: int, wait_s: float) -> Sequence[BrokerMessage]:
        self.delivered = min(most, len(self.queue.waiting))
        return self.queue.waiting[:self.delivered]

    def keep(self, messages: Sequence[BrokerMessage], wait_s: float) -> None:
        self.queue.kept += 1

    def bury(self, letters: Sequence[Outgoing]) -> None:
        self.queue.dead += letters

    def acknowledge(self, messages: Sequence[BrokerMessage]) -> None:
        if self.queue.losses:
            self.queue.losses -= 1
            raise BrokerUnavailable("the connection was lost")
        del self.queue.waiting[:self.delivered]

    def lag(self) -> int:
        return len(self.queue.waiting)

    def close(self) -> None:
        """What was not acknowledged waits already."""
