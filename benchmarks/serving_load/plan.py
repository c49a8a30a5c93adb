"""A load generator's input and output: values that travel as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from benchmarks.serving_load.latency import Latencies

KEPT_ERRORS = 20
"""Errors that are reported in full; all are counted."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """A request body without the event-specific parts, and the score it must get.

    In `body`, `<id>` stands for the event's id and `<card>` for the number, eight digits, of
    one of the plan's entities of that name; see `checks.Events`.
    """

    body: str
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """What makes an answer correct. Its status must always be 200.

    kind: "prediction": it has the prediction id of its own event of `system`, as ours do, and
    is not degraded.
    "score": its only number is the template's score, within `tolerance`.
    "status": nothing more.
    """

    kind: Literal["prediction", "score", "status"]
    system: str = ""
    tolerance: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run of the generator.

    rate: requests per second of an open loop with Poisson arrivals, None for a closed loop in
    which every connection sends its next request as soon as it is answered
    warm_s: seconds that count for nothing, before the `measured_s` that do
    id_prefix: event n has the id `<id_prefix><n, ten digits>`
    entities: how many there are of each kind; events come from all of them, evenly
    server: the root of the process tree whose CPU time is taken, 0 for none
    every_s: seconds between interim reports, 0 for none
    keep_ids: report the number of each event that was answered, and of each that was not
    stop_when_refused: end at the first refused connection (the server was killed on purpose)
    """

    port: int
    path: str
    templates: tuple[Template, ...]
    check: Check
    connections: int
    rate: float | None
    measured_s: float
    warm_s: float = 0.0
    id_prefix: str = ""
    entities: Mapping[str, int] = field(default_factory=dict)
    timeout_s: float = 10.0
    seed: int = 1
    server: int = 0
    every_s: float = 0.0
    keep_ids: bool = False
    stop_when_refused: bool = False

    def encoded(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decoded(cls, text: str) -> Plan:
        said = json.loads(text)
        said["templates"] = tuple(Template(**each) for each in said["templates"])
        said["check"] = Check(**said["check"])
        return cls(**said)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A request that was not answered as it should: when it was meant to be sent, and why."""

    at_s: float
    kind: str
    said: str


@dataclass(kw_only=True)
class Outcome:
    """The result of a run, or of an interval of it.

    seconds: how long the window was; answered: right answers that came within it
    latencies: of those that were *meant* to be sent within it, from that instant on; in a
    closed loop, from when they were sent
    lateness: how long after its instant a request was written for which a connection was idle:
    the generator's own share of the latencies
    errors: counts by kind: `refused` (no connection), `cut` (it ended before the answer),
    `timeout`, `status 503` and so on, `wrong` (not the answer to this request)
    server_cpu_s, generator_cpu_s: what both used in the window
    versions: answers by the model version that they name
    answered_ids, unanswered_ids: numbers of events, if the plan asks for them
    """

    seconds: float = 0.0
    answered: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    lateness: Latencies = field(default_factory=Latencies)
    errors: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    server_cpu_s: float = 0.0
    generator_cpu_s: float = 0.0
    versions: dict[str, int] = field(default_factory=dict)
    answered_ids: list[int] = field(default_factory=list)
    unanswered_ids: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Right answers per second."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def server_us(self) -> float:
        """CPU microseconds of the server for each right answer; NaN without any."""
        return self.server_cpu_s / self.answered * 1e6 if self.answered else float("nan")

    @property
    def generator_us(self) -> float:
        """CPU microseconds of the generator for each right answer; NaN without any."""
        return self.generator_cpu_s / self.answered * 1e6 if self.answered else float("nan")

    @property
    def wrong(self) -> int:
        """Errors of all kinds."""
        return sum(self.errors.values())

    def fail(self, at_s: float, kind: str, said: str) -> None:
        self.errors[kind] = self.errors.get(kind, 0) + 1
        if len(self.failures) < KEPT_ERRORS:
            self.failures.append(Failure(at_s=at_s, kind=kind, said=said))

    def told(self) -> dict[str, object]:
        """For a report: without the numbers of events."""
        return {
            "seconds": self.seconds, "answered": self.answered, "rate": self.rate,
            "server_us": self.server_us, "errors": self.errors, "versions": self.versions,
            "failures": [vars(failure) for failure in self.failures],
            "p50_ms": self.latencies.quantile_ms(0.5), "p99_ms": self.latencies.quantile_ms(0.99),
            "longest_ms": self.latencies.quantile_ms(1),
        }

    def encoded(self) -> str:
        told = asdict(self)
        told |= {"latencies": self.latencies.stored(), "lateness": self.lateness.stored()}
        return json.dumps(told)

    @classmethod
    def decoded(cls, text: str) -> Outcome:
        said: dict[str, Any] = json.loads(text)
        said["latencies"] = Latencies.of(said["latencies"])
        said["lateness"] = Latencies.of(said["lateness"])
        said["failures"] = [Failure(**each) for each in said["failures"]]
        return cls(**said)
