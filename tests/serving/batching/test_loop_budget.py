"""When the event loop may do without the time that a batch takes."""

from __future__ import annotations

from ml_assets.serving.batching.loop_budget import QUICK_SECONDS, REST_SECONDS, LoopBudget


def test_nothing_is_quick_before_a_batch_was() -> None:
    pace = LoopBudget(lambda: 0.0)
    assert not pace.is_quick
    pace.took(QUICK_SECONDS)
    assert pace.is_quick


def test_after_a_slow_batch_it_takes_a_rest_and_a_quick_one() -> None:
    now = [0.0]
    pace = LoopBudget(lambda: now[0])
    pace.took(0.001)
    pace.took(QUICK_SECONDS * 1.01)
    assert not pace.is_quick
    pace.took(0.001)
    assert not pace.is_quick
    now[0] += REST_SECONDS
    assert pace.is_quick
    pace.took(1.0)
    now[0] += REST_SECONDS
    assert not pace.is_quick
