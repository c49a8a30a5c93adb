"""A consumer and a publisher as processes: made of an installation, run until SIGTERM."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from ml_assets.core.runtime.locks import in_service
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.storage.patience import Patience
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.broker.address import REPLAY, BrokerAddress
from ml_assets.serving.broker.broker_metrics import (
    ConsumerMetrics,
    PublisherMetrics,
    metrics_on,
)
from ml_assets.serving.broker.clients import open_sink, open_source
from ml_assets.serving.broker.consumer import Consumer
from ml_assets.serving.broker.door import Door
from ml_assets.serving.broker.outbox import Outbox, PlaceFile, PublishedKind
from ml_assets.serving.broker.pace import until_stopped
from ml_assets.serving.broker.publisher import Publisher
from ml_assets.serving.composition import LOG_PATIENCE_S, Backends, served_system
from ml_assets.serving.server import COLLECTED_AT
from ml_assets.serving.telemetry.logs import configure


def consume(
    settings: Settings, system: System, stream: str | None, address: BrokerAddress, *,
    create: bool = False, metrics: int | None = None, backends: Backends | None = None,
    dead: bool = False,
) -> None:
    """Take a queue's messages into the log until SIGTERM, SIGINT or SIGHUP.

    stream: see `Door`. metrics: the port to serve them on
    dead: take what is in the dead-letter queue once more, and end

    Raises UnknownName, QueueMissing and NotReady if there is no such stream, queue or client.
    """
    configure(settings.log)
    lines = SparseLog()
    reader = REPLAY if dead else "-".join(
        ("ml-assets", system.name, *([stream] if stream else [])))
    source = address.dead if dead else address
    with in_service(settings, [system.name]), until_stopped() as stopping:
        served = served_system(system, settings, backends or Backends.of(settings), lines,
                               Patience(LOG_PATIENCE_S))
        door = Door(served, stream, lines)
        open_it = partial(open_source, source, reader, create=create)
        most = None
        if dead:
            first = open_it()
            most = first.found
            first.close()
        consumer = Consumer(source, door, open_it, lines,
                            idle=served.shadow if door.asks else _rest)
        with (metrics_on(metrics, ConsumerMetrics(system.name, str(source), consumer.consumed)),
              _opened(served, door)):
            consumer.run(stopping, most=most)
    lines.tell_rest(all_of_them=True)


def publish(
    settings: Settings, system: System, kind: PublishedKind, address: BrokerAddress, *,
    create: bool = False, from_now: bool = False, metrics: int | None = None,
) -> None:
    """Publish what is in the log, and what comes into it, until SIGTERM, SIGINT or SIGHUP.

    from_now: begin with what comes from now on, if this queue got nothing yet

    Raises QueueMissing, StateDamaged, and NotReady if the client is missing or another process
    publishes the same to this queue.
    """
    configure(settings.log)
    lines = SparseLog()
    place = PlaceFile(settings, system.name, kind, address)
    outbox = Outbox(system, kind, partial(EventLog, settings.event_log), place)
    with until_stopped() as stopping, place.held():
        publisher = Publisher(address, outbox, partial(open_sink, address, create=create), lines)
        with metrics_on(metrics, PublisherMetrics(
                system.name, kind, str(address), lambda: publisher.published,
                lambda: publisher.lag)):
            try:
                outbox.start(from_now=from_now)
                publisher.run(stopping)
            finally:
                outbox.close()
    lines.tell_rest(all_of_them=True)


@contextmanager
def _opened(served: ServedSystem, door: Door) -> Iterator[None]:
    """Models are loaded and followed only if the messages may want predictions."""
    if door.asks:
        served.open()
    else:
        served.state.check(served.instants.now())
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED_AT)
    try:
        yield
    finally:
        served.close()


def _rest() -> None:
    """Nothing is left to be done."""
