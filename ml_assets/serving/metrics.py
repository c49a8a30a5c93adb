"""`/metrics`: what Prometheus collects, from plain numbers that the API counts anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from time import monotonic

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from ml_assets.serving.service import Service
from ml_assets.serving.tally import SECONDS, Histogram

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
CALLS = frozenset({"predict", "predict/batch", "feedback", "version"})
PAGES = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics"})
Ages = Mapping[str, Mapping[str, float]]
"""Seconds by system, then by feature view."""


class Requests:
    """Latency by system, route, status and model version. Written by the event loop alone.

    Whatever clients ask for, the labels stay few: a system that is not served and a route that
    does not exist are named `""` and `other`.
    """

    def __init__(self, systems: Sequence[str]) -> None:
        self._systems = frozenset(systems)
        self.seen: dict[tuple[str, str, str, str], Histogram] = {}

    def note(self, path: str, status: int, seconds: float, version: str | None) -> None:
        key = (*self._place(path), str(status), version or "")
        histogram = self.seen.get(key)
        if histogram is None:
            histogram = self.seen[key] = Histogram(SECONDS)
        histogram.observe(seconds)

    def _place(self, path: str) -> tuple[str, str]:
        _, first, *rest = path.split("/", 3) if path.startswith("/") else ("", "")
        if first != "v1" or len(rest) != 2 or rest[0] not in self._systems:
            return "", path if path in PAGES else "other"
        system, call = rest
        if call in CALLS:
            return system, call
        if call.startswith("predictions/"):
            return system, "rows" if call.endswith("/rows") else "record"
        if call.startswith("scores/"):
            return system, "scores"
        return system, "other"


class Metrics(Collector):
    """All of one process, made when it is asked for.

    The library's own counters are not used: they take ten times as long, and Feast, where it is
    imported first, makes them write to files that outlive the process.
    """

    def __init__(
        self, services: Sequence[Service], requests: Requests, queued: Callable[[], int]
    ) -> None:
        self._services, self._requests, self._queued = services, requests, queued
        self._ages: Ages = {}

    def text(self, ages: Ages) -> bytes:
        """In Prometheus' text format. On any thread, one at a time."""
        registry, self._ages = CollectorRegistry(), ages
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        latency = HistogramMetricFamily(
            "ml_assets_request_seconds", "From the first byte of a request to the end of its "
            "answer", labels=("system", "route", "status", "model_version"))
        for key, histogram in list(self._requests.seen.items()):
            latency.add_metric(key, *_buckets(histogram))
        yield latency
        depth = GaugeMetricFamily("ml_assets_queue_depth", "Calls that wait for the worker or are "
                                  "on it")
        depth.add_metric((), self._queued())
        yield depth
        yield from self._of_systems()

    def _of_systems(self) -> Iterator[Metric]:
        answered = CounterMetricFamily("ml_assets_predictions", "Events answered anew",
                                       labels=("system", "model_version", "role"))
        degraded = CounterMetricFamily(
            "ml_assets_degraded", "Events answered anew without features from the store",
            labels=("system", "model_version"))
        batches = HistogramMetricFamily("ml_assets_batch_size", "Events logged in one transaction",
                                        labels=("system",))
        commit = GaugeMetricFamily("ml_assets_log_commit_age_seconds",
                                   "Since the latest prediction was committed to the log",
                                   labels=("system",))
        fresh = GaugeMetricFamily(
            "ml_assets_feature_age_seconds", "Since the instant whose labels the features count",
            labels=("system", "view"))
        waiting = GaugeMetricFamily("ml_assets_shadow_waiting", "Answers that wait for a shadow",
                                    labels=("system",))
        counts = {name: CounterMetricFamily(f"ml_assets_{name}", text, labels=("system",))
                  for name, text in COUNTED.items()}
        for service in self._services:
            name, tally = service.system.name, service.tally
            for (version, role), count in list(tally.answered.items()):
                answered.add_metric((name, str(version), role), count)
            for version, count in list(tally.degraded.items()):
                degraded.add_metric((name, str(version)), count)
            batches.add_metric((name,), *_buckets(tally.batches))
            if tally.committed_at is not None:
                commit.add_metric((name,), monotonic() - tally.committed_at)
            for view, age in self._ages.get(name, {}).items():
                fresh.add_metric((name, view), age)
            waiting.add_metric((name,), service.unshadowed)
            for kind, family in counts.items():
                family.add_metric((name,), service.counts[KINDS[kind]])
        yield from (answered, degraded, batches, commit, fresh, waiting, *counts.values())


COUNTED = {
    "repeated": "Events answered from the log, which had their answer",
    "refused": "Events refused: unusable, invalid or changed",
    "feedback": "Words of feedback that were new",
    "shadow_scores": "Scores by versions that answer nobody",
    "shadow_dropped": "Answers that no shadow scored, for want of time or of the log",
}
KINDS = {"repeated": "repeated", "refused": "rejected", "feedback": "feedback",
         "shadow_scores": "shadowed", "shadow_dropped": "shadow_dropped"}
"""Their names in `protocol.Counts`."""


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    running = list(accumulate(histogram.counts))
    bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
    return list(zip(bounds, running, strict=True)), histogram.total
