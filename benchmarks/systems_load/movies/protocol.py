"""What is asked of the films: three tasks on the ratings in the order of time.

T1  of each day on which somebody who was there on an earlier day rates films: which, as of midnight
T2  of each page of ten or more films, by somebody who has rated five before: which, as of its
    opening; and the same from what was known at midnight
T3  of each rating: is it four stars or five

T1 and T2 are the NDCG@10 of each query, averaged over each viewer's queries and then over viewers.
Models are chosen on January 1998. The test part, from 1 February on, is asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ml_assets.ingest.sources.origins import ORIGIN
from ml_assets.systems.movies.source import VISITS, WATCHED, movielens

Floats = npt.NDArray[np.float64]
JANUARY = (datetime(1998, 1, 1, tzinfo=UTC), datetime(1998, 2, 1, tzinfo=UTC))
TEST = (datetime(1998, 2, 1, tzinfo=UTC), datetime(1998, 4, 23, tzinfo=UTC))
EARLIER, AT_LEAST, PAGE = 5, 10, 10
WORTH = 1 / np.log2(np.arange(2, PAGE + 2))
DAY_S = 86_400
DRAWS = 2_000


@dataclass(frozen=True, kw_only=True)
class Query:
    """Who is asked about, as of when, and the films that he then rated."""

    viewer: str
    at: float
    wanted: frozenset[int]

    @property
    def midnight(self) -> float:
        """Of its day."""
        return self.at // DAY_S * DAY_S


Order = Callable[[Query, float], Sequence[int]]
"""The first ten films for a query, by what was known at an instant; none that somebody had rated
when he asked, which a list of the night drops too."""


class Ratings:
    """All ratings in order of time: viewers (N,), films (N,) from 0 on, seconds (N,), stars (N,).
    """

    def __init__(self, cache: Path) -> None:
        rows = _frame(WATCHED, cache)
        self.at = _seconds(rows["rated_at"])
        self.viewers = rows["viewer"].to_numpy(str)
        self.numbers = np.unique(rows["film"].to_numpy(str))
        self.films = np.searchsorted(self.numbers, rows["film"].to_numpy(str))
        self.stars = rows["stars"].to_numpy(float)
        self.own = {viewer: np.flatnonzero(self.viewers == viewer)
                    for viewer in np.unique(self.viewers)}
        pages = _frame(VISITS, cache)
        self._pages = [
            Query(viewer=viewer, at=at, wanted=frozenset(
                np.searchsorted(self.numbers, np.array(films, str)).tolist()))
            for viewer, at, films in zip(pages["viewer"], _seconds(pages["opened"]),
                                         pages["films"], strict=True)]

    def before(self, viewer: str, at: float) -> npt.NDArray[np.int64]:
        """The films that somebody had rated by then, the latest last."""
        own = self.own[viewer]
        return self.films[own[: np.searchsorted(self.at[own], at)]]

    def days(self, between: tuple[datetime, datetime]) -> list[Query]:
        """The queries of T1."""
        found = []
        for viewer, own in self.own.items():
            day_n = self.at[own] // DAY_S
            for day in np.unique(day_n):
                at = float(day * DAY_S)
                if _within(at, between) and day > day_n[0]:
                    found.append(Query(viewer=viewer, at=at, wanted=frozenset(
                        self.films[own[day_n == day]].tolist())))
        return found

    def pages(self, between: tuple[datetime, datetime]) -> list[Query]:
        """The queries of T2."""
        return [each for each in self._pages if _within(each.at, between)
                and len(each.wanted) >= AT_LEAST
                and len(self.before(each.viewer, each.at)) >= EARLIER]

    def popular(self, at: float, half_life: timedelta = timedelta(days=3)) -> Floats:
        """(films,) how often each was rated, where one of a half-life ago counts half."""
        until = int(np.searchsorted(self.at, at))
        weights = 0.5 ** ((at - self.at[:until]) / half_life.total_seconds())
        counts = np.bincount(self.films[:until], weights, len(self.numbers))
        return counts.astype(np.float64)


def ndcg(queries: Sequence[Query], order: Order, *, nightly: bool) -> Floats:
    """(Q,) NDCG@10 of each query, by what was known at its instant or at midnight before."""
    found = np.zeros(len(queries))
    for place, query in enumerate(queries):
        first = list(order(query, query.midnight if nightly else query.at))[:PAGE]
        gained = sum(WORTH[rank] for rank, film in enumerate(first) if film in query.wanted)
        found[place] = gained / WORTH[: min(PAGE, len(query.wanted))].sum()
    return found


def mean(queries: Sequence[Query], values: Floats) -> float:
    """All viewers count alike, however many queries are theirs."""
    return float(_of_viewers(queries, values).mean())


def interval(queries: Sequence[Query], values: Floats) -> tuple[float, float]:
    """95% of `mean`, from a bootstrap of viewers."""
    own = _of_viewers(queries, values)
    drawn = np.random.default_rng(7).integers(len(own), size=(DRAWS, len(own)))
    low, high = np.quantile(own[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def first_ten(scores: Floats, seen: npt.NDArray[np.int64]) -> list[int]:
    """The best films that were not seen."""
    scores = scores.copy()
    scores[seen] = -np.inf
    best: list[int] = np.argsort(-scores, kind="stable")[:PAGE].tolist()
    return best


def _of_viewers(queries: Sequence[Query], values: Floats) -> Floats:
    """(viewers,) the mean of each one's queries."""
    _, unit = np.unique([each.viewer for each in queries], return_inverse=True)
    means: Floats = np.bincount(unit, values) / np.bincount(unit)
    return means


def _within(at: float, between: tuple[datetime, datetime]) -> bool:
    return between[0].timestamp() <= at < between[1].timestamp()


def _frame(sql: str, cache: Path) -> pd.DataFrame:
    query = movielens(sql)
    rows: pd.DataFrame = pa.Table.from_batches(
        _batches(query.batches(query.fetch(cache)))).to_pandas()
    return rows


def _batches(batches: Iterator[pa.RecordBatch]) -> list[pa.RecordBatch]:
    return [each.drop_columns([ORIGIN]) for each in batches]


def _seconds(instants: pd.Series) -> Floats:
    seconds: Floats = instants.dt.as_unit("us").astype("int64").to_numpy() / 1e6
    return seconds
