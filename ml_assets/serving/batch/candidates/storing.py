"""Lists made, stored in the lake, and put where the API reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain, groupby
from typing import Any

import numpy as np
import pandas as pd

from ml_assets.core.errors import StateDamaged
from ml_assets.core.settings import Settings
from ml_assets.core.slates import SlatePolicy
from ml_assets.core.storage.mounts import current
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.features.offline import OfflineFeatures
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.lake_in_sql import open_lake
from ml_assets.ingest.tables import candidates_schema
from ml_assets.registry.deployments import Deployments
from ml_assets.serving.answer.slates.list_file import ListFile, writing_lists
from ml_assets.serving.batch.candidates.lately import Lately, PopularItem
from ml_assets.serving.batch.candidates.nightly import (
    NEWCOMERS,
    NIGHTLY,
    NightlyScores,
    UserList,
)
from ml_assets.serving.models.scoring import Scorer, require_names

TABLE = "candidates"
ROWS_AT_ONCE = 100_000
SHOWN = 5
"""Lists of a sample, and items of each."""


@dataclass(kw_only=True)
class MadeLists:
    """What the lists of a night are, in short; they were never all in memory.

    lists: of users; version: of the model that made them
    first: how many users' lists have an item among their first `page`
    sample: the first lists, the newcomers' before all
    """

    day: date
    version: int | None
    popular: Sequence[PopularItem] = ()
    lists: int = 0
    rows: int = 0
    items: set[object] = field(default_factory=set)
    first: Counter[object] = field(default_factory=Counter)
    sample: list[UserList] = field(default_factory=list)

    def add(self, made: UserList, page: int) -> None:
        self.rows += len(made.items)
        self.items.update(made.items)
        if made.user:
            self.lists += 1
            self.first.update(made.items[:page])
        if len(self.sample) < SHOWN:
            self.sample.append(made)

    @property
    def coverage(self) -> float:
        """The share of the popular items that some page of a user begins with."""
        if not self.popular:
            return float("nan")
        return sum(each.item in self.first for each in self.popular) / len(self.popular)


def store_candidates(
    system: System, policy: SlatePolicy, settings: Settings, days: Sequence[date], *,
    load: Callable[[System, int], Scorer],
) -> MadeLists:
    """Make and store the lists of each day by the model in force, which `load` gives; the last
    day's are put where the API reads them, unless it has later ones. Returns what these are.
    """
    deployed = Deployments(settings.deployments).current(system.name)
    history = OfflineFeatures(settings, system)
    scorer = None if deployed is None else load(system, deployed.version)
    if scorer is not None:
        require_names(system, scorer, history.names)
    made = MadeLists(day=days[-1], version=None)
    for day in days:
        end = midnight(day) + DAY
        made = MadeLists(day=day, version=None if deployed is None else deployed.version)
        with open_lake(settings.lake, [system]) as connection:
            scores = NightlyScores(
                system=system, policy=policy, scorer=scorer, history=history, end=end,
                lately=Lately(connection, system, policy, end))
            made.popular = scores.popular()
            _store(Lake(settings.lake), system, policy, made, scores.lists())
    load_lists(settings, system, days[-1])
    return made


def _store(
    lake: Lake, system: System, policy: SlatePolicy, made: MadeLists, lists: Iterator[UserList]
) -> None:
    """Replace the day by these lists, a portion at a time."""
    schema = candidates_schema(system)
    with lake.replacing(system.name, TABLE, made.day, schema) as write:
        waiting: list[pd.DataFrame] = []
        for each in lists:
            made.add(each, policy.page)
            waiting.append(_rows(each, made.version))
            if sum(map(len, waiting)) >= ROWS_AT_ONCE:
                write(pd.concat(waiting, ignore_index=True))
                waiting = []
        if waiting:
            write(pd.concat(waiting, ignore_index=True))


def _rows(made: UserList, version: int | None) -> pd.DataFrame:
    return pd.DataFrame({
        "user": made.user, "position": np.arange(1, len(made.items) + 1),
        "item": np.array(made.items, dtype=object),
        "score": np.array(made.scores, dtype=float),
        "model_version": pd.Series([version] * len(made.items), dtype="Int64"),
        "basis": NIGHTLY if made.user else NEWCOMERS,
    })


def load_lists(settings: Settings, system: System, day: date) -> bool:
    """Put a day's lists where the API reads them; False if those of a later day are there."""
    path = settings.candidates(system.name)
    if (there := _day_of(settings, system)) is not None and there > day:
        return False
    lake, schema = Lake(settings.lake), candidates_schema(system)
    rows: Iterator[dict[str, Any]] = chain.from_iterable(
        part.to_pylist() for part in
        lake.portions(system.name, TABLE, schema, day, size=ROWS_AT_ONCE))
    first = next(rows, None)
    version = None if first is None else first["model_version"]
    with writing_lists(path, system=system.name, day=day, version=version) as writer:
        for user, of_user in groupby(chain([] if first is None else [first], rows),
                                     key=lambda row: str(row["user"])):
            some = list(of_user)
            writer.add(user, [row["item"] for row in some],
                       [np.nan if row["score"] is None else row["score"] for row in some])
    return True


def _day_of(settings: Settings, system: System) -> date | None:
    """The day of the lists that the API reads; None if there are none that it can read."""
    path = current(settings.candidates(system.name))
    try:
        file = ListFile(path, system.name) if path.exists() else None
    except StateDamaged:
        return None
    if file is None:
        return None
    file.close()
    return file.day
