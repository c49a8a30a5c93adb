"""Degraded answers of the last minute are a warning; older ones are history."""

from __future__ import annotations

from collections import deque

from ml_assets.core.settings import Settings
from ml_assets.serving.answer.counters import RECENT, RECENT_SECONDS, Counters
from tests.serving.kit import Toy, asked, serving, wait_until


def test_a_store_that_failed_for_some_answers_alone_is_a_warning_with_the_figure(
    settings: Settings,
) -> None:
    """It answers whoever looks at it, so nothing else tells."""
    toy = Toy(settings=settings)
    toy.deploy(1)
    with serving(toy) as api:
        api.post("/v1/toy/predict", json=asked("full"))
        assert api.get("/readyz").json()["warnings"] == []
        toy.features.failure = OSError("too slow for so many")
        api.post("/v1/toy/predict/batch", json={"events": [asked(f"e{n}") for n in range(3)]})
        toy.features.failure = None
        wait_until(lambda: api.get("/readyz").json()["ready"])
        [warning] = api.get("/readyz").json()["warnings"]
    assert warning.startswith("toy: 3 of the latest 4 answers are degraded: without features")


def test_the_warning_ends_a_minute_after_the_last_degraded_answer() -> None:
    tally = Counters(degraded_at=100.0, recent=deque([True, False], maxlen=RECENT))
    assert "1 of the latest 2 answers" in tally.warnings(100.0 + RECENT_SECONDS)[0]
    assert tally.warnings(100.1 + RECENT_SECONDS) == []
    assert Counters().warnings(100.0) == []
