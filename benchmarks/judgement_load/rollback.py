"""From a decision to the traffic: versions that are sent back under load."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks.serving_load import ours
from benchmarks.serving_load.installation import BY, Installation, train
from benchmarks.serving_load.load import loading
from benchmarks.serving_load.plan import Outcome
from benchmarks.serving_load.swaps import rate_below
from benchmarks.serving_load.system import PAYMENTS
from ml_assets.core.errors import MlAssetsError
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.registry.deployments import Deployment

NAME = PAYMENTS.name
WANTED_RATE = 500.0
WAIT_S = 30.0
BROKEN = 4
"""The version that learnt from labels which are the wrong way round."""


class NotSentBack(MlAssetsError, RuntimeError):
    """A version stayed in traffic."""


@dataclass(frozen=True, kw_only=True)
class SentBack:
    """Under a load of so many requests a second: the longest time from a record until the last
    answer that the version gave which it took out.

    found_s: from the first answer of a broken canary to the record by which the API took it out;
    answers: how many it gave; guardrail: which one it breached
    """

    rate: float
    times: int
    slowest_s: float
    found_s: float
    answers: int
    guardrail: str
    outcome: Outcome


def send_back(made: Installation, *, times: int) -> SentBack:
    """Roll back a champion so many times, then let the API find a broken canary."""
    train(made.settings, made.exported.parent / str(BROKEN), seed=10 + BROKEN, upside_down=True)
    made.deployments.canary(NAME, 3, 0, reason="one thing at a time", by=BY, at=_now(made))
    undone: list[tuple[int, Deployment]] = []
    with ours.serving(made, "sent-back") as server:
        rate = rate_below(made, server, WANTED_RATE)
        with loading(ours.plan(made, server, "back-", rate=rate, warm_s=0.5)) as load:
            time.sleep(1)
            for _ in range(times):
                made.deploy(2)
                time.sleep(0.8)
                undone.append((2, made.deployments.rollback(
                    NAME, reason="the benchmark goes back", by=BY, at=_now(made))))
                time.sleep(0.8)
            made.deployments.canary(NAME, BROKEN, 0.1, reason="a bug", by=BY, at=_now(made))
            record = _awaited(lambda: _by_guardrail(made))
            undone.append((BROKEN, record))
            time.sleep(1.5)
            load.stop()
            outcome = load.outcome()
    served = _served(made)
    broken = served[BROKEN]
    return SentBack(
        rate=rate, times=len(undone), outcome=outcome, answers=len(broken),
        slowest_s=max(_after(served[version], record) for version, record in undone),
        found_s=(record.at - broken[0]).total_seconds() if broken else 0.0,
        guardrail=record.by.split()[-1])


def _after(served: list[datetime], record: Deployment) -> float:
    """How long the version went on answering after the record; it came back seconds later."""
    late = [each for each in served if record.at <= each < record.at + timedelta(seconds=0.8)]
    return max(((each - record.at).total_seconds() for each in late), default=0.0)


def _served(made: Installation) -> dict[int, list[datetime]]:
    """When each version answered."""
    found: dict[int, list[datetime]] = {version: [] for version in (1, 2, BROKEN)}
    with closing(EventLog(made.settings.event_log)) as log:
        for each in log.predictions(NAME, made.began, _now(made) + timedelta(days=1)):
            found.setdefault(each.model_version, []).append(each.accepted_at)
    return found


def _by_guardrail(made: Installation) -> Deployment | None:
    return next((each for each in made.deployments.history(NAME)
                 if each.by.startswith("guardrail") and each.about == BROKEN), None)


def _awaited(found: Callable[[], Deployment | None]) -> Deployment:
    ends = time.monotonic() + WAIT_S
    while time.monotonic() < ends:
        if (record := found()) is not None:
            return record
        time.sleep(0.02)
    raise NotSentBack(f"the API left a broken canary in traffic for {WAIT_S:g} s")


def _now(made: Installation) -> datetime:
    return made.settings.clock_of(NAME).now()
