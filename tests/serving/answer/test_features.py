"""Features have a budget: a store that is slow makes answers degraded, not late."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from ml_assets.core.settings import Settings
from ml_assets.serving.answer.features import FEATURE_BUDGET, REST, FeatureLookup
from ml_assets.serving.contract.decoding import MAX_BATCH
from tests.serving.kit import NOON, FakeFeatures, Toy, asked, serving
from tests.serving.tiles import Tiles, counted
from tests.toy import TOY

WANTED = ("returns_7d",)
EVENT = {"shop": "corner"}


@dataclass(kw_only=True)
class SlowFeatures(FakeFeatures):
    """Takes so many seconds for a read, on a clock of its own."""

    takes: float = 0.001
    clock: float = 100.0
    reads: int = 0

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[npt.NDArray[np.float32], list[datetime], int]:
        self.reads += 1
        self.clock += self.takes
        if self.takes > FEATURE_BUDGET.total_seconds():
            raise TimeoutError("interrupted")
        return super().read(keys, at)


@dataclass(kw_only=True)
class CountedInTiles(FakeFeatures):
    """The real store in the place of the fake one."""

    budget: timedelta
    tiles: Tiles | None = None

    def open(self, connection: sqlite3.Connection) -> None:
        self.tiles = Tiles(connection)

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[npt.NDArray[np.float32], list[datetime], int]:
        assert self.tiles is not None
        self.tiles.budget = self.budget
        return self.tiles.read(keys, at)

    def remember(self, events: Sequence[Mapping[str, object]]) -> None:
        assert self.tiles is not None
        self.tiles.remember(events)


def lookup_of(store: SlowFeatures) -> FeatureLookup:
    connection = sqlite3.connect(":memory:")
    return FeatureLookup(
        TOY, lambda connection: store, lambda: connection, seconds=lambda: store.clock
    )


def test_a_store_that_used_up_its_budget_rests_and_is_asked_again_later() -> None:
    store = SlowFeatures()
    lookup = lookup_of(store)

    def degraded() -> bool:
        return lookup.read([EVENT], [NOON], WANTED)[2] is None

    assert not degraded()
    store.takes = 0.2
    assert degraded()
    assert store.reads == 2
    store.takes = 0.001
    assert degraded(), "it rests"
    assert store.reads == 2
    assert lookup.problem is not None
    assert "interrupted" in lookup.problem
    store.clock += REST.total_seconds()
    assert not degraded()
    assert lookup.problem is None


def test_a_quick_failure_needs_no_rest() -> None:
    store = SlowFeatures(failure=OSError("gone"))
    lookup = lookup_of(store)
    assert lookup.read([EVENT], [NOON], WANTED)[2] is None
    store.failure = None
    values, until, position = lookup.read([EVENT], [NOON], WANTED)
    assert position is not None
    assert values.tolist() == [[3.0]]
    assert until != [NOON]


def test_a_read_of_the_real_store_is_broken_off_and_the_answers_say_so(settings: Settings) -> None:
    toy = Toy(settings=settings)
    toy.deploy(1)
    store = toy.features = CountedInTiles(budget=timedelta(seconds=30))
    batch = {"events": [asked(f"e{n}", shop=f"shop {n}") for n in range(MAX_BATCH)]}
    later = {"events": [asked(f"f{n}", shop=f"shop {n}") for n in range(MAX_BATCH)]}
    with serving(toy) as api:
        store.budget = timedelta(0)
        answers = api.post("/v1/toy/predict/batch", json=batch).json()["predictions"]
        assert all(answer["degraded"] for answer in answers)
        store.budget = timedelta(seconds=30)
        toy.clock.set(NOON + timedelta(minutes=1))
        answers = api.post("/v1/toy/predict/batch", json=later).json()["predictions"]
        assert not any(answer["degraded"] for answer in answers)
        # What was answered without features is counted all the same.
        assert counted(settings, "shop 3", NOON + timedelta(minutes=2)) == 2
