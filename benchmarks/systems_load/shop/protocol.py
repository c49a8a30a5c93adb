"""Which lists are judged, by what was bought then; and what simple rules make of them.

Nightly: for each household and day on which it bought at least five different products, a list
made at midnight, judged by all that it bought that day. Completion: for each basket of at least
six, a page after the first five, judged by the rest of the basket. NDCG@10, of lists for
households that are known. Days are of UTC. Peers count each grocery once a basket and know all
that was bought on earlier days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.core.time import DAY, midnight
from ml_assets.systems.shop.source import PUTS, journey

PAGE = 10
IN_BASKET = 5
HALF_LIFE_DAYS = 60.0
POPULAR = 200
DISCOUNTS = 1 / np.log2(np.arange(2, PAGE + 2))
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Query:
    """One list: for whom, made when, after which products, judged by which.

    midnight: of the day that it is for
    """

    household: str
    at: datetime
    midnight: datetime
    basket: tuple[str, ...]
    wanted: frozenset[str]

    @property
    def name(self) -> str:
        return f"{self.household}/{self.at.isoformat()}"

    def ndcg(self, listed: Sequence[str]) -> float:
        gained = sum(DISCOUNTS[place] for place, item in enumerate(listed[:PAGE])
                     if item in self.wanted)
        return float(gained / DISCOUNTS[: min(PAGE, len(self.wanted))].sum())


@dataclass(frozen=True, kw_only=True)
class Day:
    """lines: (household, grocery) of each basket; nightly, completion: what is asked"""

    day: date
    lines: Sequence[tuple[str, str]]
    nightly: Sequence[Query]
    completion: Sequence[Query]


def days(cache: Path, of: int) -> Iterator[Day]:
    """Of every household whose number `of` divides, in order."""
    query = journey(f"""
        {PUTS.format(of=of)}
        select household, basket, grocery, place, put_at, sold_at from puts
        order by sold_at, basket, place
    """.strip())
    today: list[dict[str, Any]] = []
    for batch in query.batches(query.fetch(cache)):
        for row in batch.to_pylist():
            if today and row["sold_at"].date() != today[0]["sold_at"].date():
                yield _day(today)
                today = []
            today.append(row)
    yield _day(today)


def _day(rows: Sequence[Mapping[str, Any]]) -> Day:
    day: date = rows[0]["sold_at"].date()
    bought: dict[str, set[str]] = defaultdict(set)
    baskets: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        bought[str(row["household"])].add(str(row["grocery"]))
        baskets[str(row["basket"])].append(row)
    start = midnight(day)
    completion = []
    for lines in baskets.values():
        if len(lines) <= IN_BASKET:
            continue
        first, rest = lines[:IN_BASKET], lines[IN_BASKET:]
        completion.append(Query(
            household=str(lines[0]["household"]), midnight=start,
            at=first[-1]["put_at"] + DAY / 86_400,
            basket=tuple(str(line["grocery"]) for line in first),
            wanted=frozenset(str(line["grocery"]) for line in rest)))
    return Day(
        day=day, completion=completion,
        lines=[(str(row["household"]), str(row["grocery"])) for row in rows],
        nightly=[Query(household=who, at=start, midnight=start, basket=(),
                       wanted=frozenset(items))
                 for who, items in bought.items() if len(items) >= IN_BASKET])


Rule = Callable[["Peers", Query], Sequence[str]]


@dataclass(kw_only=True)
class Peers:
    """What was bought before a day, as the rules count it."""

    popular: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    decayed: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    pairs: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    last: dict[str, date] = field(default_factory=dict)
    top: Sequence[str] = ()
    baskets: int = 0

    def knows(self, household: str) -> bool:
        return household in self.counts

    def count(self, day: Day) -> None:
        for who in {who for who, _ in day.lines}:
            if who in self.last:
                share = 2 ** (-(day.day - self.last[who]).days / HALF_LIFE_DAYS)
                self.decayed[who] = {item: n * share for item, n in self.decayed[who].items()}
            self.last[who] = day.day
        for who, item in day.lines:
            self.popular[item] += 1
            for counted in (self.counts, self.decayed):
                counted[who][item] = counted[who].get(item, 0) + 1
        self.baskets += len(day.completion)
        for query in day.completion:
            whole = [*query.basket, *query.wanted]
            for item in whole:
                mine = self.pairs[item]
                for other in whole:
                    mine[other] = mine.get(other, 0) + 1
        self.top = sorted(self.popular, key=lambda item: -self.popular[item])[:POPULAR]

    def by_popularity(self, query: Query) -> Sequence[str]:
        return self.top[:PAGE]

    def by_count(self, query: Query) -> Sequence[str]:
        return self._best(self.counts[query.household])

    def by_decay(self, query: Query) -> Sequence[str]:
        return self._best(self.decayed[query.household])

    def by_decay_without_basket(self, query: Query) -> Sequence[str]:
        left = {item: n for item, n in self.decayed[query.household].items()
                if item not in query.basket}
        return self._best(left, without=query.basket)

    def by_last_five(self, query: Query) -> Sequence[str]:
        """By decay and by what goes with the basket: each pair's lift, to the power .1."""
        scores = {item: 0.01 * self.popular[item] / self.popular[self.top[0]]
                  for item in self.top}
        for item, n in self.decayed[query.household].items():
            scores[item] = scores.get(item, 0) + n
        for item in query.basket:
            scores.pop(item, None)
        for with_ in query.basket:
            mine = self.pairs.get(with_, {})
            own = mine.get(with_, 0)
            for item in scores:
                both = mine.get(item, 0)
                if both >= 10:
                    lift = both * self.baskets / (own * self.pairs[item][item])
                    scores[item] *= max(lift, 0.1) ** 0.1
        return sorted(scores, key=lambda item: (-scores[item], -self.popular[item]))[:PAGE]

    def _best(self, scores: Mapping[str, float], without: Sequence[str] = ()) -> list[str]:
        best = sorted(scores, key=lambda item: (-scores[item], -self.popular[item]))[:PAGE]
        rest = [item for item in self.top if item not in scores and item not in without]
        return [*best, *rest[: PAGE - len(best)]]
