"""How much CPU a request costs and how long it takes: ours, the no-op, the peers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.serving_load.latency import Latencies
from benchmarks.serving_load.load import run_load
from benchmarks.serving_load.plan import Check, Outcome, Plan, Template
from benchmarks.serving_load.servers import Server

CONNECTIONS = 32
"""Enough to keep every server here busy, but few enough that none refuses."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The requests for a server, and how its answers are checked."""

    name: str
    path: str
    templates: tuple[Template, ...]
    check: Check
    entities: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure: rounds of a number of seconds, each after a warm-up."""

    rounds: int
    seconds: float
    warm_s: float


QUICK = Effort(rounds=1, seconds=2, warm_s=1)
FULL = Effort(rounds=3, seconds=10, warm_s=2)


@dataclass(kw_only=True)
class Series:
    """The rounds of one target at one load. Figures are medians over rounds.

    rate_asked: requests per second of the open loop, None for as many as there can be
    """

    rate_asked: float | None
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return median(outcome.rate for outcome in self.outcomes)

    @property
    def server_us(self) -> float:
        return median(outcome.server_us for outcome in self.outcomes)

    @property
    def generator_us(self) -> float:
        return median(outcome.generator_us for outcome in self.outcomes)

    @property
    def p50_ms(self) -> float:
        return median(outcome.latencies.quantile_ms(0.5) for outcome in self.outcomes)

    @property
    def errors(self) -> dict[str, int]:
        """Counts by kind over all rounds."""
        found: dict[str, int] = {}
        for outcome in self.outcomes:
            for kind, count in outcome.errors.items():
                found[kind] = found.get(kind, 0) + count
        return found

    @property
    def latencies(self) -> Latencies:
        """Of all rounds together."""
        return _pooled([outcome.latencies for outcome in self.outcomes])

    def told(self) -> dict[str, object]:
        """For the report."""
        lateness = _pooled([outcome.lateness for outcome in self.outcomes])
        return {
            "rate_asked": self.rate_asked, "rate": self.rate, "server_us": self.server_us,
            "server_us_by_round": [outcome.server_us for outcome in self.outcomes],
            "generator_us": self.generator_us,
            "p50_ms": self.p50_ms, "p50_ms_by_round": [
                outcome.latencies.quantile_ms(0.5) for outcome in self.outcomes
            ],
            "p99_ms": self.latencies.quantile_ms(0.99),
            "p99.9_ms": self.latencies.quantile_ms(0.999),
            "generator_lateness_p50_ms": lateness.quantile_ms(0.5),
            "generator_lateness_p99_ms": lateness.quantile_ms(0.99),
            "requests": sum(outcome.answered for outcome in self.outcomes),
            "errors": self.errors,
            "failures": [vars(failure) for outcome in self.outcomes
                         for failure in outcome.failures[:3]],
            "histogram_us": self.latencies.stored(),
        }


class Meter:
    """Runs rounds; each has its own event ids, so no event is sent twice."""

    def __init__(self, effort: Effort, name: str = "speed") -> None:
        self.effort = effort
        self._name = name
        self._runs = 0

    def saturate(self, server: Server, target: Target, series: Series) -> None:
        """One round in which every connection always has a request on its way."""
        series.outcomes.append(self._round(server, target, None))

    def ask(self, server: Server, target: Target, series: Series) -> None:
        """One round at the series' rate."""
        series.outcomes.append(self._round(server, target, series.rate_asked))

    def _round(self, server: Server, target: Target, rate: float | None) -> Outcome:
        self._runs += 1
        return run_load(Plan(
            port=server.port, path=target.path, templates=target.templates, check=target.check,
            connections=CONNECTIONS, rate=rate, measured_s=self.effort.seconds,
            warm_s=self.effort.warm_s, server=server.pid, seed=self._runs,
            id_prefix=f"{self._name}-{self._runs}-", entities=target.entities,
        ))


def furthest(server: Server, target: Target, *, count: int = 50) -> float:
    """The largest difference between the scores of `count` answers and those expected."""
    worst = 0.0
    for template in target.templates[:count]:
        status, body = server.post(target.path, template.body)
        assert status == 200 and template.score is not None, body
        worst = max(worst, abs(_number(json.loads(body)) - template.score))
    return worst


def alternately(rounds: int, turns: Sequence[Callable[[], None]]) -> None:
    """Each turn once per round, so whatever else the machine does affects all of them."""
    for _ in range(rounds):
        for turn in turns:
            turn()


def _number(answer: object) -> float:
    """The only number in an answer, however it is wrapped."""
    while not isinstance(answer, int | float):
        assert isinstance(answer, dict | list) and len(answer) == 1, answer
        [answer] = answer.values() if isinstance(answer, dict) else answer
    return float(answer)


def _pooled(parts: Sequence[Latencies]) -> Latencies:
    whole = Latencies()
    for part in parts:
        whole.counts.update(part.counts)
    return whole
