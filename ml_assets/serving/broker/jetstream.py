"""NATS JetStream, through its own client. Needs the extra `broker`.

The client is asynchronous and we are not: its loop runs while a method here does. What the server
sends meanwhile waits in the socket, which the number of unacknowledged messages bounds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TypeVar

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js.api import AckPolicy, ConsumerConfig, Header, RetentionPolicy, StreamConfig
from nats.js.errors import NoStreamResponseError, NotFoundError

from ml_assets.serving.broker.address import BrokerAddress
from ml_assets.serving.broker.clients import PREFETCH, BrokerUnavailable, QueueMissing
from ml_assets.serving.broker.messages import BrokerMessage, Outgoing

ACK_WAIT_S = 15.0
"""After so long without a word a message is delivered again: what a consumer held that was killed
waits as long."""
TIMEOUT_S = 10.0
"""How long the server may take for an answer."""

T = TypeVar("T")


class _NatsConnection:
    """One connection, which is not mended: whoever holds it opens another one."""

    def __init__(self, address: BrokerAddress) -> None:
        self.address = address
        self._loop = asyncio.new_event_loop()
        self._lost = False
        self._said = ""
        try:
            self._client: Client = self.run(self._connect)
        except BaseException:
            self._loop.close()
            raise
        self.stream = self._client.jetstream(timeout=TIMEOUT_S)

    def run(self, work: Callable[[], Coroutine[object, object, T]]) -> T:
        """Raises BrokerUnavailable for whatever goes wrong with the connection or the server."""
        if self._lost:
            self._require_connected()
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work(), 3 * TIMEOUT_S))
        except (Error, OSError) as error:
            said = str(error) or type(error).__name__
            raise BrokerUnavailable(f"{self.address}: {said}") from error

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._require_connected()

    async def publish(self, subject: str, messages: Sequence[Outgoing]) -> None:
        for each in messages:
            headers = {**each.headers}
            if each.message_id:
                headers[Header.MSG_ID] = each.message_id
            try:
                await self.stream.publish(subject, each.body, headers=headers)
            except NoStreamResponseError as error:
                raise QueueMissing(
                    f"{self.address}: no stream of the server keeps what is published to "
                    f"{subject!r}. Add one with this subject, or use --create") from error

    async def flush(self) -> None:
        """Returns once the server has all that was sent."""
        await self._client.flush(int(TIMEOUT_S))
        self._require_connected()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._loop.run_until_complete(asyncio.wait_for(self._client.close(), 2.0))
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        with contextlib.suppress(Exception):
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _require_connected(self) -> None:
        if self._lost or not self._client.is_connected:
            self._lost = True
            raise BrokerUnavailable(f"{self.address}: the connection was lost{self._said}")

    async def _connect(self) -> Client:
        async def note(error: Exception) -> None:
            self._said = f": {error}"

        return await nats.connect(
            self.address.server, allow_reconnect=False, connect_timeout=TIMEOUT_S,
            # Else the first connection is tried for ever.
            max_reconnect_attempts=1, reconnect_time_wait=0, error_cb=note, name="ml-assets")


class JetStreamSource:
    """A `BrokerSource` of one stream, or of one subject of it.

    A push consumer: the server sends as much as may be unacknowledged, and each message that is
    acknowledged makes room for one. To fetch batches takes twice the CPU, and the client library
    waits for a batch to be full.
    """

    def __init__(self, address: BrokerAddress, reader: str, *, create: bool) -> None:
        self.address, self._reader = address, reader
        self._arrived: deque[Msg] = deque()
        self._arrival = asyncio.Event()
        self._connected = _NatsConnection(address)
        try:
            self._connected.run(partial(self._subscribe, create))
            self.found = self.lag()
        except BaseException:
            self._connected.close()
            raise

    def receive(self, most: int, wait_s: float) -> Sequence[BrokerMessage]:
        self._connected.run(partial(self._wait, wait_s))
        return [_message(self._arrived.popleft()) for _ in range(min(most, len(self._arrived)))]

    def keep(self, messages: Sequence[BrokerMessage], wait_s: float) -> None:
        async def work() -> None:
            for each in (*(message.handle for message in messages), *self._arrived):
                await each.in_progress()
            await self._connected.pause(wait_s)

        self._connected.run(work)

    def bury(self, letters: Sequence[Outgoing]) -> None:
        self._connected.run(partial(self._connected.publish, self.address.dead.name, letters))

    def acknowledge(self, messages: Sequence[BrokerMessage]) -> None:
        async def work() -> None:
            for each in messages:
                await each.handle.ack()
            await self._connected.flush()

        self._connected.run(work)

    def lag(self) -> int:
        info = self._connected.run(partial(
            self._connected.stream.consumer_info, self.address.name, self._reader))
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    def close(self) -> None:
        async def give_back() -> None:
            for each in self._arrived:
                await each.nak()

        with contextlib.suppress(BrokerUnavailable):
            self._connected.run(give_back)
        self._connected.close()

    async def _wait(self, wait_s: float) -> None:
        if not self._arrived:
            self._arrival.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._arrival.wait(), wait_s)
        else:
            await asyncio.sleep(0)  # take in what has arrived meanwhile
        if not self._arrived:
            await self._connected.pause(0)

    async def _subscribe(self, create: bool) -> None:
        address, stream = self.address, self._connected.stream
        try:
            await stream.stream_info(address.name)
        except NotFoundError as error:
            if not create:
                raise QueueMissing(
                    f"{address.shown} has no stream {address.name!r}. Create it, or have --create "
                    f"do it: for the subjects `{address.name}` and `{address.name}.*`") from error
            await stream.add_stream(StreamConfig(
                name=address.name, subjects=[address.name, f"{address.name}.*"]))
        await _add_queue(self._connected, address.dead.name)

        async def arrived(message: Msg) -> None:
            self._arrived.append(message)
            self._arrival.set()

        await stream.subscribe(
            address.scope or ">", queue=self._reader, durable=self._reader, stream=address.name,
            cb=arrived, manual_ack=True, config=ConsumerConfig(
                ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S, max_ack_pending=PREFETCH,
                filter_subject=address.scope or None))


class JetStreamSink:
    """A `BrokerSink` of one subject, which a stream of the server has to keep."""

    def __init__(self, address: BrokerAddress, *, create: bool) -> None:
        self.address = address
        self._connected = _NatsConnection(address)
        if create:
            try:
                self._connected.run(partial(_add_queue, self._connected, address.name))
            except BaseException:
                self._connected.close()
                raise

    def publish(self, messages: Sequence[Outgoing]) -> None:
        self._connected.run(partial(self._connected.publish, self.address.name, messages))

    def keep(self, wait_s: float) -> None:
        self._connected.run(partial(self._connected.pause, wait_s))

    def close(self) -> None:
        self._connected.close()


async def _add_queue(connected: _NatsConnection, name: str) -> None:
    """A stream that keeps what is published to a subject of its name until somebody took it."""
    try:
        await connected.stream.stream_info(name)
    except NotFoundError:
        await connected.stream.add_stream(StreamConfig(
            name=name, subjects=[name], retention=RetentionPolicy.WORK_QUEUE))


def _message(found: Msg) -> BrokerMessage:
    headers = found.headers or {}
    where = found.metadata
    return BrokerMessage.of(
        found.data, found.subject, headers.get(Header.MSG_ID),
        {name: value for name, value in headers.items() if not name.startswith("Nats-")},
        position=f"{where.stream}:{where.sequence.stream}",
        redelivered=where.num_delivered > 1, handle=found)
