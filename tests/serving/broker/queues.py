"""A queue of a real broker as a test sees it: filled by one client, looked into by another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from benchmarks.broker_load.servers import Broker
from ml_assets.serving.broker.address import REPLAY, BrokerAddress, parse_address
from ml_assets.serving.broker.clients import MOST, open_sink, open_source
from ml_assets.serving.broker.messages import BrokerMessage


@dataclass(frozen=True)
class Queue:
    """One queue, which need not exist."""

    server: Broker
    name: str

    @property
    def address(self) -> BrokerAddress:
        return parse_address(self.server.address(self.name))

    def make(self) -> None:
        open_source(self.address, "maker", create=True).close()
        if self.server.kind == "nats":  # whoever reads a stream there has a place in it
            self._forget("maker")

    def put(self, bodies: Sequence[object], *, subject: str | None = None,
            message_ids: Sequence[str] | None = None) -> None:
        """Publish these, bytes as they are and others as JSON, and wait until all are kept."""
        raw = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in bodies]
        self.server.put(self.name, raw, subject=subject, message_ids=message_ids)

    def dead(self) -> list[BrokerMessage]:
        """What is in the dead-letter queue; it stays there."""
        with closing(open_source(self.address.dead, REPLAY)) as source:
            found: list[BrokerMessage] = []
            while len(found) < source.found:
                found += source.receive(MOST, 1.0)
        if self.server.kind == "nats":
            self._forget(REPLAY, self.address.dead.name)
        return found

    def waiting(self, reader: str = "ml-assets-toy-visits") -> int:
        """How many wait for whoever reads it."""
        with closing(open_source(self.address, reader)) as source:
            return source.found

    def taken(self) -> list[Mapping[str, Any]]:
        """The bodies of all that is in the queue, in order; they are taken off."""
        with closing(open_source(self.address, "taker")) as source:
            found: list[Mapping[str, Any]] = []
            while got := source.receive(MOST, 0.3):
                found += [{**json.loads(each.body), "message_id": each.message_id}
                          for each in got]
                source.acknowledge(got)
        return found

    def sink(self) -> None:
        """Make a queue that is written only."""
        open_sink(self.address, create=True).close()

    def _forget(self, reader: str, stream: str | None = None) -> None:
        import nats

        async def forget() -> None:
            client = await nats.connect(self.server.address("").rstrip("/"))
            await client.jetstream().delete_consumer(stream or self.name, reader)
            await client.close()

        asyncio.run(forget())
