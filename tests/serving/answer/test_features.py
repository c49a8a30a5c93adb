"""Features have a budget: a store that is slow makes answers degraded, not late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.core.settings import Settings
from ml_assets.core.storage.sqlite import open_file
from ml_assets.ingest.log.event_log import Appended, EventLog
from ml_assets.serving.answer.features import FEATURE_BUDGET, PATIENCE, REST, GuardedState
from ml_assets.serving.composition import Backends
from ml_assets.serving.contract.decoding import MAX_BATCH
from tests.ingest.log.test_event_log import prediction
from tests.serving.kit import NOON, FakeFeatures, asked, serving
from tests.serving.tiles import CountingToy, counted, tiles
from tests.toy import TOY

WANTED = ("returns_7d",)
EVENT = {"shop": "corner"}


@dataclass(kw_only=True)
class SlowFeatures(FakeFeatures):
    """Takes so many seconds for a read, on a clock of its own."""

    takes: float = 0.001
    clock: float = 100.0
    reads: int = 0
    follows: int = 0

    def follow(self, appended: Appended, counted: Any) -> None:
        self.follows += 1
        self.clock += self.takes
        if self.takes > FEATURE_BUDGET.total_seconds():
            raise TimeoutError("another process has been writing")

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[npt.NDArray[np.float32], list[datetime], int]:
        self.reads += 1
        self.clock += self.takes
        if self.takes > FEATURE_BUDGET.total_seconds():
            raise TimeoutError("interrupted")
        return super().read(keys, at)


def test_a_store_that_another_process_holds_is_not_tried_with_every_batch() -> None:
    """What was logged counts anyway."""
    store = SlowFeatures()
    state = guarded(store)
    state.check(NOON)
    store.takes = 0.2
    for _ in range(3):
        state.follow(Appended([], [0], 1), [])
    assert store.follows == 1
    assert state.problem is not None and "another process has been writing" in state.problem
    store.clock += REST.total_seconds()
    state.follow(Appended([], [0], 1), [])
    assert store.follows == 2


@dataclass(kw_only=True)
class Budgeted(CountingToy):
    """Its reads are broken off after `budget`."""

    budget: timedelta = timedelta(seconds=30)

    def backends(self) -> Backends:
        return replace(super().backends(), state=lambda system, connection: tiles(
            connection, self.settings, system, budget=self.budget))


def guarded(store: SlowFeatures, *, stands: bool = False) -> GuardedState:
    connection = open_file(":memory:")
    return GuardedState(TOY, lambda connection: store, lambda: connection, stands=lambda: stands,
                        seconds=lambda: store.clock)


@dataclass(kw_only=True)
class BehindFeatures(FakeFeatures):
    """Breaks off reads until it has caught up; each takes half the budget too much."""

    behind: int
    clock: float = 100.0

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[npt.NDArray[np.float32], list[datetime], int]:
        self.clock += 1.5 * FEATURE_BUDGET.total_seconds()
        self.behind -= 1
        if self.behind >= 0:
            raise TimeoutError("interrupted")
        return super().read(keys, at)


def test_a_slow_machine_changes_no_answer_while_the_clock_stands_still() -> None:
    """A replay on a busy machine answers as one on an idle machine."""
    store = BehindFeatures(behind=20)
    connection = open_file(":memory:")
    replayed = GuardedState(TOY, lambda connection: store, lambda: connection,
                            stands=lambda: True, seconds=lambda: store.clock)
    assert replayed.read([EVENT], [NOON], WANTED)[2] is not None
    assert replayed.problem is None


def test_even_a_replay_goes_on_without_a_store_that_never_answers() -> None:
    store = SlowFeatures()
    state = guarded(store, stands=True)
    state.check(NOON)
    store.takes, began = 0.2, store.clock
    assert state.read([EVENT], [NOON], WANTED)[2] is None
    assert PATIENCE <= timedelta(seconds=store.clock - began) < PATIENCE + REST
    reads = store.reads
    assert state.read([EVENT], [NOON], WANTED)[2] is None, "it rests"
    assert store.reads == reads


def test_a_store_that_used_up_its_budget_rests_and_is_asked_again_later() -> None:
    store = SlowFeatures()
    state = guarded(store)

    def degraded() -> bool:
        return state.read([EVENT], [NOON], WANTED)[2] is None

    assert not degraded()
    store.takes = 0.2
    assert degraded()
    assert store.reads == 2
    store.takes = 0.001
    assert degraded(), "it rests"
    assert store.reads == 2
    assert state.problem is not None
    assert "interrupted" in state.problem
    store.clock += REST.total_seconds()
    assert not degraded()
    assert state.problem is None


def test_a_quick_failure_needs_no_rest() -> None:
    store = SlowFeatures(failure=OSError("gone"))
    state = guarded(store)
    assert state.read([EVENT], [NOON], WANTED)[2] is None
    store.failure = None
    values, until, position = state.read([EVENT], [NOON], WANTED)
    assert position is not None
    assert values.tolist() == [[3.0]]
    assert until != [NOON]


def test_a_read_of_the_real_store_is_broken_off_and_the_answers_say_so(settings: Settings) -> None:
    toy = Budgeted(settings=settings, budget=timedelta(0))
    toy.deploy(1)
    toy.clock.start()
    batch = {"events": [asked(f"e{n}", shop=f"shop {n}") for n in range(MAX_BATCH)]}
    later = {"events": [asked(f"f{n}", shop=f"shop {n}") for n in range(MAX_BATCH)]}
    with serving(toy) as api:
        with closing(EventLog(settings.event_log)) as log:  # another process is ahead
            log.append([prediction("x")])
        answers = api.post("/v1/toy/predict/batch", json=batch).json()["predictions"]
        assert all(answer["degraded"] for answer in answers)
    toy.budget = timedelta(seconds=30)
    toy.clock.set(NOON + timedelta(minutes=1))
    with serving(toy) as api:
        answers = api.post("/v1/toy/predict/batch", json=later).json()["predictions"]
        assert not any(answer["degraded"] for answer in answers)
    # What was answered without features is counted all the same.
    assert counted(settings, "shop 3", NOON + timedelta(minutes=2)) == 2
