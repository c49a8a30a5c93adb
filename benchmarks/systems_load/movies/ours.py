"""The product on the protocol: its source, its features from history, its declared model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.systems_load.movies.protocol import (
    PAGE,
    WORTH,
    Floats,
    Query,
    Ratings,
)
from ml_assets.automation.instance import instance
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.definitions import definitions
from ml_assets.features.offline import OfflineFeatures
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.replay.runs import Runs
from ml_assets.systems.movies import MOVIES
from ml_assets.training.fit import fit
from ml_assets.training.rows.reading import rows_of
from ml_assets.training.scored import TrainedScorer

ROWS = 100_000
"""Pairs of a viewer and a film whose features are asked for together."""
POOL = 800
"""Films that are ordered, the most popular of three days."""
AFTER = date(1998, 4, 23)


def recorded(settings: Settings) -> System:
    """The system with all of its history in the lake, none of it live."""
    system = replace(MOVIES, calendar=replace(MOVIES.calendar, go_live=AFTER,
                                              last_day=AFTER + timedelta(days=7)))
    if not settings.lake.exists():
        Runs(system=system, settings=settings, definitions=definitions(settings, [system]),
             instance=instance(settings)).history(AFTER)
    return system


def trained(settings: Settings, system: System, as_of: datetime) -> TrainedScorer:
    """The declared model of what was known at an instant."""
    training_set = TrainingSets(settings, system).build(as_of)
    return fit(system.model, system.target, rows_of(system, training_set, "train")).scorer


class Product:
    """Orders the films for queries by the model's scores of features as of an instant."""

    def __init__(
        self, settings: Settings, system: System, scorer: TrainedScorer, ratings: Ratings
    ) -> None:
        self._history, self._scorer = OfflineFeatures(settings, system), scorer
        self._ratings = ratings

    def ndcg(self, queries: Sequence[Query], *, nightly: bool) -> Floats:
        """As `protocol.ndcg`."""
        found = np.zeros(len(queries))
        for some in _portions(len(queries), max(1, ROWS // POOL)):
            scores, pools = self._scores([queries[each] for each in some], nightly=nightly)
            for row, each in enumerate(some):
                query = queries[each]
                seen = np.isin(pools[row], self._ratings.before(query.viewer, query.at))
                best = np.argsort(-np.where(seen, -np.inf, scores[row]), kind="stable")[:PAGE]
                gained = sum(WORTH[rank] for rank, film in enumerate(pools[row][best])
                             if int(film) in query.wanted)
                found[each] = gained / WORTH[: min(PAGE, len(query.wanted))].sum()
        return found

    def _scores(
        self, queries: Sequence[Query], *, nightly: bool
    ) -> tuple[Floats, npt.NDArray[np.int64]]:
        """(Q, POOL) scores, and which films they are of."""
        pools = np.stack([np.argsort(-self._ratings.popular(query.midnight), kind="stable")[:POOL]
                          for query in queries])
        films = self._ratings.numbers[pools.ravel()].tolist()
        keys = pd.DataFrame({"viewer": np.repeat([query.viewer for query in queries], POOL),
                             "film": films})
        instants = [query.midnight if nightly else query.at for query in queries]
        at = pd.Series(pd.to_datetime(np.repeat(instants, POOL), unit="s", utc=True))
        dense = self._history.read(keys, at, accepted_at=at)
        outputs = self._scorer.outputs({"film": films}, dense)
        return outputs[:, 0].reshape(len(queries), POOL), pools


def _portions(count: int, size: int) -> Iterator[range]:
    for start in range(0, count, size):
        yield range(start, min(start + size, count))
