"""RabbitMQ, through the client that its makers keep. Needs the extra `broker`."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any
from urllib.parse import quote

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker, StreamLostError

from ml_assets.serving.broker.address import BrokerAddress
from ml_assets.serving.broker.clients import PREFETCH, BrokerUnavailable, QueueMissing
from ml_assets.serving.broker.messages import BrokerMessage, Outgoing

logging.getLogger("pika").setLevel(logging.CRITICAL)  # what it says, BrokerUnavailable says
NOT_FOUND = 404
PERSISTENT = 2


class _RabbitConnection:
    """One connection, which is not mended, and a channel to publish on.

    A transaction is one wait for the broker's disk, whatever it publishes; to have each message
    confirmed takes a wait for each.
    """

    def __init__(self, address: BrokerAddress) -> None:
        self.address = address
        self._returned: list[object] = []
        with self.guarded():
            self.connection = pika.BlockingConnection(pika.URLParameters(
                f"{address.server}/{quote(address.scope, safe='')}"))
            self._publishing = self._transactional()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Whatever goes wrong with the connection or the broker becomes BrokerUnavailable."""
        try:
            yield
        except (AMQPError, OSError) as error:
            said = str(error) or type(error).__name__
            raise BrokerUnavailable(f"{self.address}: {said}") from error

    def size(self, name: str) -> int | None:
        """How many messages of a queue wait to be delivered; None if there is no such queue."""
        with self.guarded():
            try:
                found = self._publishing.queue_declare(name, passive=True)
            except ChannelClosedByBroker as error:
                if error.reply_code != NOT_FOUND:
                    raise
                self._publishing = self._transactional()
                return None
            return int(found.method.message_count)

    def add_queue(self, name: str) -> None:
        """A durable queue, unless there is one of this name, of whatever kind."""
        if self.size(name) is None:
            with self.guarded():
                self._publishing.queue_declare(name, durable=True)

    def publish(self, name: str, messages: Sequence[Outgoing]) -> None:
        with self.guarded():
            for each in messages:
                self._publishing.basic_publish(
                    "", name, each.body, pika.BasicProperties(
                        delivery_mode=PERSISTENT, message_id=each.message_id or None,
                        headers=dict(each.headers)),
                    mandatory=True)
            self._publishing.tx_commit()
            self.connection.process_data_events(0)  # what came back came before the commit
        if self._returned:
            self._returned.clear()
            raise QueueMissing(f"{self.address.shown} has no queue {name!r}. Declare it, or use "
                               "--create")

    def pause(self, seconds: float) -> None:
        """Answer the broker's heartbeats meanwhile."""
        ends = monotonic() + seconds
        with self.guarded():
            self.connection.process_data_events(0)
            while (left := ends - monotonic()) > 0:
                self.connection.process_data_events(left)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.connection.close()

    def _transactional(self) -> Any:
        channel = self.connection.channel()
        channel.tx_select()
        channel.add_on_return_callback(lambda *returned: self._returned.append(returned))
        return channel


class RabbitSource:
    """A `BrokerSource` of one queue. Its lag leaves out what is on its way here."""

    def __init__(self, address: BrokerAddress, *, create: bool) -> None:
        self.address = address
        self._arrived: deque[BrokerMessage] = deque()
        self._taken = 0
        self._connected = _RabbitConnection(address)
        try:
            self._begin(create)
        except BaseException:
            self._connected.close()
            raise

    def receive(self, most: int, wait_s: float) -> Sequence[BrokerMessage]:
        ends = monotonic() + wait_s
        with self._connected.guarded():
            self._connected.connection.process_data_events(0)
            while not self._arrived and (left := ends - monotonic()) > 0:
                self._connected.connection.process_data_events(left)
        found = [self._arrived.popleft() for _ in range(min(most, len(self._arrived)))]
        self._taken = len(found)
        return found

    def keep(self, messages: Sequence[BrokerMessage], wait_s: float) -> None:
        self._connected.pause(wait_s)

    def bury(self, letters: Sequence[Outgoing]) -> None:
        self._connected.publish(self.address.dead.name, letters)

    def acknowledge(self, messages: Sequence[BrokerMessage]) -> None:
        if messages:
            with self._connected.guarded():
                # Earlier ones are acknowledged already: messages come in the order of their tags.
                self._channel.basic_ack(messages[-1].handle, multiple=True)
        self._taken = 0

    def lag(self) -> int:
        waiting = self._connected.size(self.address.name)
        if waiting is None:
            raise QueueMissing(f"{self.address.shown} has no queue {self.address.name!r} any more")
        with self._connected.guarded():
            self._connected.connection.process_data_events(0)  # what was delivered meanwhile
        return waiting + len(self._arrived) + self._taken

    def close(self) -> None:
        self._connected.close()

    def _begin(self, create: bool) -> None:
        address, connected = self.address, self._connected
        if create:
            connected.add_queue(address.name)
        found = connected.size(address.name)
        if found is None:
            raise QueueMissing(f"{address.shown} has no queue {address.name!r}. Declare it, or "
                               "have --create do it")
        self.found = found
        connected.add_queue(address.dead.name)
        with connected.guarded():
            self._channel = connected.connection.channel()
            self._channel.basic_qos(prefetch_count=PREFETCH)
            self._channel.add_on_cancel_callback(self._cancelled)
            self._channel.basic_consume(address.name, self._arrive)

    def _arrive(self, channel: object, method: Any, properties: Any, body: bytes) -> None:
        headers = {name: value for name, value in (properties.headers or {}).items()
                   if isinstance(value, str)}
        self._arrived.append(BrokerMessage.of(
            body, method.routing_key, properties.message_id, headers, position=None,
            redelivered=method.redelivered, handle=method.delivery_tag))

    def _cancelled(self, method: object) -> None:
        """The broker will send no more: the queue was deleted, or has moved."""
        raise StreamLostError(f"the broker has stopped the delivery of {self.address.name!r}")


class RabbitSink:
    """A `BrokerSink` of one queue."""

    def __init__(self, address: BrokerAddress, *, create: bool) -> None:
        self.address = address
        self._connected = _RabbitConnection(address)
        if create:
            try:
                self._connected.add_queue(address.name)
            except BaseException:
                self._connected.close()
                raise

    def publish(self, messages: Sequence[Outgoing]) -> None:
        self._connected.publish(self.address.name, messages)

    def keep(self, wait_s: float) -> None:
        self._connected.pause(wait_s)

    def close(self) -> None:
        self._connected.close()
