"""The replay's clock never goes back while it stands: others read it too."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from ml_assets.core.settings import Settings
from ml_assets.core.time import EventClock
from ml_assets.replay.journey import Journey
from tests.automation.test_sensors import NOW
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
