"""The replay's clock never goes back while it stands: others read it too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.time import EventClock
from ml_assets.registry.deployments import Deployment
from ml_assets.registry.rollout import Shadow, Withdraw
from ml_assets.replay.journey import Journey
from ml_assets.replay.people import People
from tests.automation.test_sensors import NOW
from tests.serving.kit import NOON, Toy
from tests.toy import TOY


def test_a_replay_that_resumes_asks_again_without_setting_the_clock_back(
    settings: Settings,
) -> None:
    """An event of another client would seem to have been there before earlier answers."""
    clock, runs = EventClock(settings.clock_file(TOY.name)), cast("Any", None)  # none is executed
    clock.set(NOW)
    journey = Journey(system=TOY, settings=settings, runs=runs, say=lambda at, text: None,
                      events=cast("Any", None), until=NOW.date())
    journey._advance(NOW - timedelta(hours=3))
    assert clock.now() == NOW
    journey._advance(NOW + timedelta(hours=3))
    assert clock.now() == NOW + timedelta(hours=3)


@dataclass
class FakeApi:
    """An API that is asked to judge, and takes a version out when it has answered enough."""

    toy: Toy
    clock: EventClock
    enough: int
    answered: int = 0
    waiting: int = 0
    looks: list[tuple[datetime, int]] = field(default_factory=list)

    def predict_together(self, events: Sequence[ArchivedEvent]) -> list[dict[str, Any]]:
        self.answered += len(events)
        self.waiting += len(events)
        return [{"prediction_id": each.event_id, "decision": True, "latency_ms": 1.0}
                for each in events]

    def await_shadows(self) -> None:
        self.waiting = 0

    def judge(self) -> None:
        assert self.waiting == 0, "what versions said is not all known yet"
        now = self.clock.now()
        self.looks.append((now, self.answered))
        if self.answered >= self.enough:
            self.toy.deployments.act(TOY.name, Withdraw(version=2), reason="broken",
                                     by="guardrail failures", at=now)

    def await_rollout(self, record: Deployment) -> None:
        assert record.by == "guardrail failures"


def test_a_replay_looks_at_guardrails_by_its_clock_while_several_versions_score(
    settings: Settings,
) -> None:
    """Once an hour and after 256 answers, whatever the machine does; and no more when one is left.
    """
    toy, said = Toy(settings=settings), list[str]()
    toy.deploy(1)
    toy.act(Shadow(version=2))
    start = NOON + timedelta(minutes=15)
    minutes = [0, 1, 20, 59, 61, 62, 125, *(126 + n / 60 for n in range(600)), 300]
    api = FakeApi(toy=toy, clock=toy.clock, enough=300)
    journey = Journey(system=TOY, settings=settings, runs=cast("Any", None), until=NOW.date(),
                      say=lambda at, text: said.append(text), events=cast("Any", None))
    journey._people, journey._several = People(system=TOY), True
    for number, minute in enumerate(minutes):
        journey._predict(cast("Any", api), [ArchivedEvent(
            event_id=f"e{number}", event_timestamp=start + timedelta(minutes=minute),
            request={"shop": "a", "note": "", "amount": 1.0}, outcome=None)])
    at = [(moment - start) / timedelta(minutes=1) for moment, _ in api.looks]
    assert at == pytest.approx([0, 61, 125, 126 + 255 / 60, 126 + 511 / 60])
    assert [answered for _, answered in api.looks] == [1, 5, 7, 263, 519]
    assert [each.action for each in toy.deployments.history(TOY.name)] == [
        "promote", "shadow", "withdraw"]
    assert "broken" in said[-1]
