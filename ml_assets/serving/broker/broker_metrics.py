"""`/metrics` of a consumer or a publisher, on a port of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ml_assets.core.errors import DeclarationError
from ml_assets.serving.broker.consumer import Consumed


class ConsumerMetrics(Collector):
    """What a consumer has done, and its lag, by system and queue."""

    def __init__(self, system: str, queue: str, consumed: Consumed) -> None:
        self._labels, self._consumed = [system, queue], consumed

    def collect(self) -> Iterator[Metric]:
        consumed, labels = self._consumed, ["system", "queue"]
        counters = (
            ("consumed_messages", "Messages that are in the log and acknowledged", "stored"),
            ("redelivered_messages", "Messages that were delivered before", "again"),
        )
        for name, text, kind in counters:
            counter = CounterMetricFamily(f"ml_assets_{name}", text, labels=labels)
            counter.add_metric(self._labels, consumed.counts[kind])
            yield counter
        dead = CounterMetricFamily(
            "ml_assets_dead_letters", "Messages that went to the dead-letter queue",
            labels=[*labels, "code"])
        for code, count in list(consumed.dead.items()):
            dead.add_metric([*self._labels, code], count)
        yield dead
        waits = CounterMetricFamily(
            "ml_assets_consumer_waits", "Times that the consumer had to wait",
            labels=[*labels, "for"])
        for what, count in list(consumed.waited.items()):
            waits.add_metric([*self._labels, what], count)
        yield waits
        if consumed.lag is not None:
            yield _gauge("consumer_lag_messages", "Messages in the queue, those at work included",
                         labels, self._labels, consumed.lag)


class PublisherMetrics(Collector):
    """How far a publisher has got."""

    def __init__(
        self, system: str, kind: str, queue: str, published: Callable[[], int],
        lag: Callable[[], int],
    ) -> None:
        self._labels, self._published, self._lag = [system, kind, queue], published, lag

    def collect(self) -> Iterator[Metric]:
        labels = ["system", "kind", "queue"]
        counter = CounterMetricFamily(
            "ml_assets_published_messages", "Messages that the broker has", labels=labels)
        counter.add_metric(self._labels, self._published())
        yield counter
        yield _gauge("publisher_lag_positions", "Positions of the log that were not looked at yet",
                     labels, self._labels, self._lag())


@contextmanager
def metrics_on(port: int | None, *collectors: Collector) -> Iterator[None]:
    """Serve them on this port of the loopback address in the block; None for nowhere.

    Raises DeclarationError if the port is taken.
    """
    if port is None:
        yield
        return
    registry = CollectorRegistry()
    for each in collectors:
        registry.register(each)
    try:
        server, thread = start_http_server(port, "127.0.0.1", registry)
    except OSError as error:
        raise DeclarationError(f"cannot serve metrics on port {port}: {error.strerror}; choose "
                               "another with --metrics") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _gauge(
    name: str, text: str, labels: list[str], values: list[str], level: float
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(f"ml_assets_{name}", text, labels=labels)
    gauge.add_metric(values, level)
    return gauge
