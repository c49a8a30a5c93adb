"""The learning rate of a step depends on its number alone."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ml_assets.core.model.minibatch import Minibatch
from ml_assets.training.loop.schedules import rate_at


def rates(fit: Minibatch, steps: int = 10, epochs: int = 10) -> list[float]:
    return [rate_at(fit, step, steps=steps, epochs=epochs) for step in range(steps * epochs)]


def test_a_cosine_rises_in_a_line_and_falls_to_nearly_nothing() -> None:
    each = rates(Minibatch(rate=0.8, warmup=0.2))
    assert each[:3] == pytest.approx([0.04, 0.08, 0.12])
    assert max(each) == each[19] == pytest.approx(0.8) == each[20]
    assert each[60] == pytest.approx(0.4)
    assert all(later < before for before, later in pairwise(each[20:]))
    assert 0 < each[-1] < 0.001


def test_a_constant_rate_stays() -> None:
    assert set(rates(Minibatch(rate=0.5, schedule="constant", warmup=0))) == {0.5}


def test_steps_fall_after_so_many_epochs() -> None:
    each = rates(Minibatch(rate=1.0, schedule="step", warmup=0, decay=0.5, decay_epochs=4))
    assert [each[0], each[39], each[40], each[79], each[80]] == [1, 1, 0.5, 0.5, 0.25]
