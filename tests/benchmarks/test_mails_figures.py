"""What the spam figures say is what the scores say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.systems_load.spam import caught, measured


def test_spam_counts_as_caught_above_the_allowed_false_positives() -> None:
    """Of ten that are none, 0.1% is nobody and 10% is one; a tie is not above."""
    codes = np.array([0.0] * 10 + [1.0] * 4)
    scores = np.array([*np.linspace(0, 0.9, 10), 0.95, 0.9, 0.85, 0.1])
    assert caught(codes, scores, 0.001) == pytest.approx(0.25)
    assert caught(codes, scores, 0.1) == pytest.approx(0.75)


def test_margins_and_shares_are_compared_by_their_order() -> None:
    """The same order is no lead, however far apart the numbers are."""
    draw = np.random.default_rng(1)
    codes = (draw.random(200) < 0.3).astype(float)
    margins = draw.normal(size=200) + 2 * codes
    found = measured(codes, 1 / (1 + np.exp(-0.1 * margins)), margins)
    assert found.ours == pytest.approx(found.peer) and found.ratio == pytest.approx(1)
    assert "ahead by 0.000" in found.note
