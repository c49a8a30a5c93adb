"""kill -9 under load, again and again: whatever was acknowledged is in the log, once."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from benchmarks.serving_load import ours
from benchmarks.serving_load.checks import Events, event_id
from benchmarks.serving_load.features import miscounted
from benchmarks.serving_load.installation import Installation
from benchmarks.serving_load.load import loading
from benchmarks.serving_load.servers import Server
from benchmarks.serving_load.system import PAYMENTS
from ml_assets.ingest.log.event_log import EventLog

CONNECTIONS = 16
ASKED_AGAIN = 20
"""Events whose answers are kept before each kill and requested again after it."""


@dataclass(kw_only=True)
class Kills:
    """The result of a number of kills.

    acknowledged: event ids that a client got an answer for; lost: of these, not in the log
    twice: events with several predictions in the log
    compared: entities whose events were counted in the log and in the feature store
    miscounted: of these, those for which the two disagree on the number of events
    changed: events whose answer changed when they were resent after the restart
    interrupted: requests that the kills cut off; each was resent to the next process
    errors: wrong answers while a server lived
    """

    kills: int
    acknowledged: list[str] = field(default_factory=list)
    lost: int = 0
    twice: int = 0
    compared: int = 0
    miscounted: int = 0
    changed: int = 0
    interrupted: int = 0
    errors: int = 0

    @property
    def counted_twice(self) -> int:
        return self.twice + self.miscounted


def kill_often(made: Installation, *, times: int, load_s: float = 1.0, seed: int = 3) -> Kills:
    """Start, load, kill at a random moment after `load_s`; start once more, and look."""
    found, draw = Kills(kills=times), random.Random(seed)
    answers: dict[str, tuple[int, str]] = {}
    unanswered: dict[str, str] = {}
    for kill in range(times + 1):
        with ours.serving(made, "killed") as server:
            for body, answer in answers.items():
                found.changed += server.post(ours.PATH, body) != answer
            for name, body in unanswered.items():
                status, _ = server.post(ours.PATH, body)
                found.errors += status != 200
                found.acknowledged += [name] if status == 200 else []
            if kill < times:
                prefix = f"known-{kill}-"
                events = Events(ours.plan(made, server, prefix))
                answers = {
                    body: server.post(ours.PATH, body)
                    for body in (events.body(number) for number in range(ASKED_AGAIN))
                }
                found.acknowledged += [event_id(prefix, n) for n in range(ASKED_AGAIN)]
                unanswered = _load_and_kill(
                    made, server, found, f"kill-{kill}-", after_s=load_s * (1 + draw.random())
                )
    _look(made, found)
    return found


def _load_and_kill(
    made: Installation, server: Server, found: Kills, prefix: str, *, after_s: float
) -> dict[str, str]:
    """Add what was acknowledged to `found`; the events that were not, with their bodies."""
    plan = ours.plan(made, server, prefix, connections=CONNECTIONS, keep_ids=True,
                     stop_when_refused=True, timeout_s=5)
    with loading(plan) as load:
        time.sleep(after_s)
        server.kill()
        outcome = load.outcome()
    found.acknowledged += [event_id(prefix, number) for number in outcome.answered_ids]
    found.interrupted += outcome.errors.get("cut", 0)
    found.errors += sum(count for kind, count in outcome.errors.items()
                        if kind not in ("cut", "refused"))
    events = Events(plan)
    return {event_id(prefix, number): events.body(number) for number in outcome.unanswered_ids}


def _look(made: Installation, found: Kills) -> None:
    """Compare the log with what was acknowledged."""
    log = EventLog(made.settings.event_log)
    logged = list(log.predictions(PAYMENTS.name, made.began, made.began + timedelta(days=1)))
    log.close()
    times = Counter(prediction.event_id for prediction in logged)
    found.lost = sum(name not in times for name in found.acknowledged)
    found.twice = sum(count > 1 for count in times.values())
    found.compared, found.miscounted = miscounted(
        made.settings, [json.loads(prediction.request) for prediction in logged]
    )
