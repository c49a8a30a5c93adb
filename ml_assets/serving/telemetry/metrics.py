"""`/metrics`: what Prometheus collects, from plain numbers that the API counts anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from time import monotonic
from typing import TypeVar, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from ml_assets.core.objects.watch import StoreWatch
from ml_assets.core.runtime.hybrid_clock import Direction
from ml_assets.serving.answer.counters import SECONDS, SIZES, Histogram
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.contract.health import Counts
from ml_assets.serving.telemetry.freshness import Freshness
from ml_assets.serving.telemetry.samples import Buckets, Key, WorkerSamples
from ml_assets.serving.telemetry.worker_metrics import WorkerMetrics

T = TypeVar("T")
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
CALLS = frozenset({"predict", "predict/batch", "rank", "feedback", "version"})
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
        # Most requests go to one of these; the others' addresses hold ids, which never end.
        self._labels = {f"/v1/{name}/{call}": (name, call) for name in systems for call in CALLS}
        self.seen: dict[tuple[str, str, str, str], Histogram] = {}

    def note(
        self, path: str, status: int, seconds: float, version: str | None
    ) -> tuple[str, str]:
        """Count an answer. Returns the labels system and route."""
        labels = self._labels.get(path) or self._labels_of(path)
        key = (*labels, str(status), version or "")
        histogram = self.seen.get(key)
        if histogram is None:
            histogram = self.seen[key] = Histogram(SECONDS)
        histogram.observe(seconds)
        return labels

    def _labels_of(self, path: str) -> tuple[str, str]:
        _, first, *rest = path.split("/", 3) if path.startswith("/") else ("", "")
        if first == "readyz" and len(rest) == 1 and rest[0] in self._systems:
            return rest[0], "readyz"
        if first != "v1" or len(rest) != 2 or rest[0] not in self._systems:
            return "", path if path in PAGES else "other"
        system, call = rest
        if call.startswith("predictions/"):
            return system, "rows" if call.endswith("/rows") else "record"
        if call.startswith("scores/"):
            return system, "scores"
        if call.startswith("events/"):
            return system, "events/batch" if call.endswith("/batch") else "events"
        return system, "other"


class Metrics(Collector):
    """Of the whole service, made when it is asked for.

    The library's own counters are not used: they take ten times as long, and Feast, if it is
    imported first, makes them write to files that outlive the process.

    queued: how many requests of each system wait for a batch
    at_work: how many calls, of whichever system, wait for the worker or are on it
    freshness: of the features, by system
    store: what looks at the object store; None if there is none
    workers: where the other workers' samples are; None if this process is the only one
    """

    def __init__(
        self, systems: Mapping[str, ServedSystem], requests: Requests,
        queued: Callable[[str], int], at_work: Callable[[], int],
        freshness: Mapping[str, Freshness], store: StoreWatch | None = None,
        workers: WorkerMetrics | None = None,
    ) -> None:
        self._systems, self._requests = systems, requests
        self._queued, self._at_work = queued, at_work
        self._freshness, self._store, self._workers = freshness, store, workers
        self._ages: Ages = {}

    def open(self) -> None:
        """Tell the other workers from now on."""
        if self._workers is not None:
            self._workers.open(self._of_this_process)

    def close(self) -> None:
        """Tell them for the last time."""
        if self._workers is not None:
            self._workers.close()

    def text(self) -> bytes:
        """In Prometheus' text format. On any thread, one at a time."""
        self._ages = {name: each.ages() for name, each in self._freshness.items()}
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def counts(self, system: str) -> Counts:
        """What `version` tells of a system, of all workers. On any thread."""
        counts, numbers = dict.fromkeys(KINDS.values(), 0), self._total()
        for (name, *labels), count in numbers.counts.items():
            if name in KINDS and labels[0] == system:
                counts[KINDS[name]] += count
        return Counts(**counts, shadow_waiting=numbers.levels.get(("shadow_waiting", system), 0))

    def collect(self) -> Iterator[Metric]:
        numbers = self._total()
        for name, (text, labels) in COUNTERS.items():
            counter = CounterMetricFamily(f"ml_assets_{name}", text, labels=labels)
            for values, count in _named(name, numbers.counts):
                counter.add_metric(values, count)
            yield counter
        for name, (text, labels, bounds) in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(f"ml_assets_{name}", text, labels=labels)
            for values, buckets in _named(name, numbers.buckets):
                running = zip(_texts(bounds), accumulate(buckets.counts), strict=True)
                histogram.add_metric(values, list(running), buckets.total)
            yield histogram
        for name, (text, labels) in GAUGES.items():
            gauge = GaugeMetricFamily(f"ml_assets_{name}", text, labels=labels)
            for values, level in self._levels(name, numbers):
                gauge.add_metric(values, level)
            yield gauge

    def _levels(self, name: str, numbers: WorkerSamples) -> Iterator[tuple[Sequence[str], float]]:
        if name == "feature_age_seconds":
            for system, views in self._ages.items():
                for view, age in views.items():
                    yield (system, view), age
        if name == "objects_up" and self._store is not None:
            yield (), float(self._store.problem is None)
        yield from _named(name, numbers.levels)
        for values, at in _named(name, numbers.latest):
            yield values, monotonic() - at

    def _total(self) -> WorkerSamples:
        return self._of_this_process() if self._workers is None else self._workers.total()

    def _of_this_process(self) -> WorkerSamples:
        counts: dict[Key, int] = {}
        buckets: dict[Key, Buckets] = {("request_seconds", *key): Buckets.of(histogram)
                                       for key, histogram in list(self._requests.seen.items())}
        levels: dict[Key, int] = {("worker_depth",): self._at_work()}
        latest: dict[Key, float] = {}
        for name, system in self._systems.items():
            counters = system.counters
            for (version, role), count in list(counters.answered.items()):
                counts["predictions", name, str(version), role] = count
            for version, count in list(counters.degraded.items()):
                counts["degraded", name, str(version)] = count
            for version, count in list(system.guard.failures.items()):
                counts["version_failures", name, str(version)] = count
            for (version, guardrail), count in list(system.guard.breaches.items()):
                counts["guardrail_breaches", name, str(version), guardrail] = count
            for metric, kind in KINDS.items():
                if metric not in ("predictions", "degraded"):
                    counts[metric, name] = counters.kinds[kind]
            for direction in get_args(Direction):
                counts["clock_jumps", name, direction] = system.instants.clock.jumps[direction]
            buckets["batch_size", name] = Buckets.of(counters.batches)
            levels["queue_depth", name] = self._queued(name)
            levels["shadow_waiting", name] = len(system.shadows)
            if counters.committed_at is not None:
                latest["log_commit_age_seconds", name] = counters.committed_at
        return WorkerSamples(counts=counts, buckets=buckets, levels=levels, latest=latest)


Labels = tuple[str, ...]
COUNTERS: dict[str, tuple[str, Labels]] = {
    "predictions": ("Events answered anew", ("system", "model_version", "role")),
    "degraded": ("Events answered anew without features from the store",
                 ("system", "model_version")),
    "version_failures": ("Calls in which a version failed and another one answered or had answered",
                         ("system", "model_version")),
    "guardrail_breaches": ("Versions that were taken out for breaching a guardrail",
                           ("system", "model_version", "guardrail")),
    "repeated": ("Events answered from the log, which had their answer", ("system",)),
    "refused": ("Events refused: unusable, invalid or changed", ("system",)),
    "feedback": ("Words of feedback that were new", ("system",)),
    "told_events": ("Events of other streams that were taken in", ("system",)),
    "clock_jumps": ("Times that the clock was seen to be set, by each process",
                    ("system", "direction")),
    "shadow_scores": ("Scores by versions that answer nobody", ("system",)),
    "shadow_dropped": ("Answers that no shadow scored, for want of time or of the log",
                       ("system",)),
}
HISTOGRAMS: dict[str, tuple[str, Labels, Sequence[float]]] = {
    "request_seconds": ("From the first byte of a request to the end of its answer",
                        ("system", "route", "status", "model_version"), SECONDS),
    "batch_size": ("Events logged in one transaction", ("system",), SIZES),
}
GAUGES: dict[str, tuple[str, Labels]] = {
    "queue_depth": ("Requests that wait for a batch", ("system",)),
    "worker_depth": ("Calls of all systems that wait for the worker or are on it", ()),
    "shadow_waiting": ("Answers that wait for a shadow", ("system",)),
    "log_commit_age_seconds": ("Since the latest prediction was committed to the log",
                               ("system",)),
    "feature_age_seconds": ("Since the instant whose labels the features count",
                            ("system", "view")),
    "objects_up": ("Whether the object store answered when it was last asked, 1 or 0", ()),
}
KINDS = {"predictions": "predicted", "degraded": "degraded", "repeated": "repeated",
         "refused": "rejected", "feedback": "feedback", "shadow_scores": "shadowed",
         "shadow_dropped": "shadow_dropped", "told_events": "told"}
"""The counters' names in `health.Counts`."""


def _named(name: str, numbers: Mapping[Key, T]) -> Iterator[tuple[Sequence[str], T]]:
    return ((key[1:], value) for key, value in numbers.items() if key[0] == name)


def _texts(bounds: Sequence[float]) -> list[str]:
    return [*(str(float(bound)) for bound in bounds), "+Inf"]
