"""Whoever waits for a training set hears how far it is."""

from __future__ import annotations

import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.features.training_sets import assembling
from ml_assets.features.training_sets.progress import BuildLog
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.systems.fraud import FRAUD
from ml_assets.systems.spam import SPAM
from tests.features.recorded import first_days, record


@pytest.mark.parametrize("system", [SPAM, FRAUD], ids=lambda system: system.name)
def test_each_view_and_each_portion_of_rows_is_told(
    system: System, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembling, "GROUP", 25)
    days = first_days(system, 12)
    record(settings, system, days)
    told: list[tuple[str, int, int]] = []
    built = TrainingSets(settings, system).build(
        midnight(days[-1]) + DAY, lambda *said: told.append(said))
    views = [(done, of) for what, done, of in told if what.startswith("features of")]
    assert views == [(number, len(views)) for number in range(len(views))] and len(views) > 1
    rows = [(done, of) for what, done, of in told if what == "rows"]
    assert rows == [(done, built.labels) for done in range(0, built.labels, 25)] and len(rows) > 1
    assert [what for what, _, _ in told] == sorted(what for what, _, _ in told)


def test_lines_are_logged_now_and_then() -> None:
    lines, now = list[str](), [0.0]
    log = BuildLog(lines.append, clock=lambda: now[0])
    for second in range(12):
        now[0] = float(second)
        log("rows", second * 1000, 12_000)
    assert lines == ["rows: 5,000 of 12,000", "rows: 10,000 of 12,000"]
