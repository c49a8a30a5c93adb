"""The shop's own figures: its sources in a lake, its features, declared model and candidates.

The history is ingested whole, as recorded history is, and the model is trained once, on what was
known when the judged days begin: it is not retrained over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.systems_load.shop.protocol import PAGE, Query
from ml_assets.core.settings import Settings
from ml_assets.core.slates import SlatePolicy
from ml_assets.core.source import Source
from ml_assets.core.system import Calendar, System
from ml_assets.core.time import DAY, midnight
from ml_assets.features.offline import OfflineFeatures
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.daily import store_events, store_labels, store_raw
from ml_assets.ingest.kept import store_table
from ml_assets.ingest.lake_in_sql import open_lake
from ml_assets.serving.batch.candidates.lately import Lately
from ml_assets.serving.models.scoring import Scorer, dense_vectors, outputs_of
from ml_assets.systems.shop import SHOP, purchase_rows, visit_rows
from ml_assets.training.fit import fit
from ml_assets.training.rows.reading import rows_of

FIRST, END = date(2017, 1, 1), date(2018, 1, 1)
AT_ONCE = 50_000
BEFORE = timedelta(minutes=45)
"""A list of the night is made so much before midnight: a basket fills over 40 minutes, so nothing
of one that is paid on the day itself is known."""


def of_households(of: int) -> System:
    """The shop as declared, with every household whose number `of` divides, and its whole history.
    """
    sources: dict[str, Source] = {"visits": visit_rows(of), "purchases": purchase_rows(of)}
    return replace(
        SHOP, calendar=Calendar(first_day=FIRST, go_live=END + DAY),
        streams=tuple(replace(each, source=sources[each.name]) for each in SHOP.streams))


def ingest(system: System, settings: Settings) -> None:
    """Take in all that was recorded."""
    days = [FIRST + timedelta(days=n) for n in range((END - FIRST).days)]
    for stream in system.streams:
        store_raw(system, settings, days, stream)
        store_events(system, settings, days, stream)
    for table in system.tables:
        store_table(system, settings, table, days)
    store_labels(system, settings, days)


@dataclass(kw_only=True)
class Shop:
    """A shop whose history is in the lake, and its model."""

    system: System
    settings: Settings
    scorer: Scorer

    @classmethod
    def trained(cls, system: System, settings: Settings, until: date, folder: Path) -> Shop:
        """With the declared model of what was known before a day."""
        training_set = TrainingSets(settings, system).build(midnight(until))
        rows = rows_of(system, training_set, "train")
        fitted = fit(system.model, system.target, rows, folder=folder)
        return cls(system=system, settings=settings, scorer=fitted.scorer)

    def figures(self, queries: Sequence[Query]) -> dict[str, float]:
        """NDCG@10 of each query, all of one day, by its name."""
        policy = self.system.target.slates
        assert policy is not None
        with open_lake(self.settings.lake, [self.system]) as connection:
            lately = Lately(connection, self.system, policy, queries[0].midnight - BEFORE)
            offered = self._offer(policy, lately, queries)
        features = OfflineFeatures(self.settings, self.system)
        rows = [{"household": query.household, "grocery": item}
                for query, items in zip(queries, offered, strict=True) for item in items]
        at = pd.Series([query.at if query.basket else query.at - BEFORE
                        for query, items in zip(queries, offered, strict=True) for _ in items])
        parts = []
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            when = at.iloc[start : start + AT_ONCE].reset_index(drop=True)
            keys = pd.DataFrame(some, dtype=object).assign(event_timestamp=when)
            read = features.read(keys, when, accepted_at=when)
            parts.append(self.system.target.score(
                outputs_of(self.scorer, some, dense_vectors(self.system, some, read))))
        scores = np.concatenate(parts)
        figures: dict[str, float] = {}
        bounds = pairwise(accumulate(map(len, offered), initial=0))
        for query, items, (start, end) in zip(queries, offered, bounds, strict=True):
            best = np.argsort(-scores[start:end], kind="stable")[:PAGE]
            figures[query.name] = query.ndcg([str(items[place]) for place in best])
        return figures

    def _offer(
        self, policy: SlatePolicy, lately: Lately, queries: Sequence[Query]
    ) -> list[list[object]]:
        """The candidates of each query, as the lists of that night have them."""
        nightly = policy.candidates
        assert nightly is not None and nightly.own is not None
        popular = [each.item for each in lately.popular(policy.newcomers, nightly.pool)]
        own: Mapping[str, Sequence[object]] = dict(lately.own(nightly.own))
        return [list(dict.fromkeys([*popular, *own.get(query.household, ())]))
                for query in queries]
