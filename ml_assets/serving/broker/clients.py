"""The brokers behind one face: a queue that is read, a queue that is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ml_assets.core.errors import MlAssetsError, NotReady
from ml_assets.serving.broker.address import BrokerAddress
from ml_assets.serving.broker.messages import BrokerMessage, Outgoing

PREFETCH = 512
"""Messages that may be delivered and not acknowledged, for each consumer: two full batches, so
that one arrives while the other is stored."""
MOST = 256
"""Messages that are taken in at once: as many as a client may post at once."""


class BrokerUnavailable(MlAssetsError, ConnectionError):
    """The broker cannot be reached, or the connection was lost. It may come back."""


class QueueMissing(MlAssetsError, LookupError):
    """The broker has no such queue. The message says what it would take."""


class BrokerSource(Protocol):
    """One queue that is read. One call at a time, all on one thread.

    Every method raises BrokerUnavailable; what was delivered and not acknowledged is then
    delivered again, to whoever opens the queue next.

    found: how many messages waited as it was opened
    """

    found: int

    def receive(self, most: int, wait_s: float) -> Sequence[BrokerMessage]:
        """What is there, oldest first; waits for the first one."""
        ...

    def keep(self, messages: Sequence[BrokerMessage], wait_s: float) -> None:
        """Pass the time, and tell the broker that these, and we, are still at work."""
        ...

    def bury(self, letters: Sequence[Outgoing]) -> None:
        """Put these into the dead-letter queue; returns once the broker has them for good."""
        ...

    def acknowledge(self, messages: Sequence[BrokerMessage]) -> None:
        """All that the latest `receive` returned: they are stored or buried for good."""
        ...

    def lag(self) -> int:
        """How many messages wait, those that are delivered and not acknowledged among them."""
        ...

    def close(self) -> None:
        """Give back what was not acknowledged. Raises nothing."""
        ...


class BrokerSink(Protocol):
    """One queue that is written."""

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """In this order; returns once the broker has them for good.

        Raises BrokerUnavailable, and QueueMissing if nobody keeps what is published there. Then
        the first ones of them may be there.
        """
        ...

    def keep(self, wait_s: float) -> None:
        """Pass the time, and tell the broker that we are there."""
        ...

    def close(self) -> None:
        """Raises nothing."""
        ...


def open_source(address: BrokerAddress, reader: str, *, create: bool = False) -> BrokerSource:
    """Begin to read a queue.

    reader: who reads it. NATS keeps a place in the stream for each; who reads under one name
        shares the messages
    create: make the queue if it is missing
    Raises BrokerUnavailable, QueueMissing, and NotReady if the client library is not installed.
    """
    try:
        if address.kind == "nats":
            from ml_assets.serving.broker.jetstream import JetStreamSource

            return JetStreamSource(address, reader, create=create)
        from ml_assets.serving.broker.rabbitmq import RabbitSource

        return RabbitSource(address, create=create)
    except ModuleNotFoundError as error:
        raise _not_installed(address, error) from error


def open_sink(address: BrokerAddress, *, create: bool = False) -> BrokerSink:
    """Begin to write a queue. Raises as `open_source`."""
    try:
        if address.kind == "nats":
            from ml_assets.serving.broker.jetstream import JetStreamSink

            return JetStreamSink(address, create=create)
        from ml_assets.serving.broker.rabbitmq import RabbitSink

        return RabbitSink(address, create=create)
    except ModuleNotFoundError as error:
        raise _not_installed(address, error) from error


def _not_installed(address: BrokerAddress, error: ModuleNotFoundError) -> NotReady:
    return NotReady(f"{address} needs the package {error.name!r}, which is not installed: "
                    "pip install 'ml-assets[broker]'")
