"""The shop beside simple rules, on the same lists.

A quick run judges fewer households on fewer days: its figures say that all works, not how well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.systems_load.shop.ours import Shop, ingest, of_households
from benchmarks.systems_load.shop.protocol import Peers, Query, Rule, days
from ml_assets.bench import Measurement
from ml_assets.core.settings import Settings

TRAINED_UNTIL = date(2017, 11, 1)
NIGHTLY: dict[str, Rule] = {
    "popularity": Peers.by_popularity, "personal count": Peers.by_count,
    "personal count with a half-life of 60 days": Peers.by_decay}
COMPLETION: dict[str, Rule] = {
    "last night's list": Peers.by_decay,
    "last night's list without the basket": Peers.by_decay_without_basket,
    "the rule of the last five": Peers.by_last_five}
DRAWS = 1000
OURS = "ours"


@dataclass(kw_only=True)
class Judged:
    """Of each list NDCG@10, by who made it; and whose list it was."""

    households: list[str] = field(default_factory=list)
    found: dict[str, list[float]] = field(default_factory=dict)

    def add(self, query: Query, ours: float, peers: Peers, rules: dict[str, Rule]) -> None:
        self.households.append(query.household)
        self.found.setdefault(OURS, []).append(ours)
        for name, rule in rules.items():
            self.found.setdefault(name, []).append(query.ndcg(rule(peers, query)))

    def mean(self, name: str) -> float:
        return float(np.mean(self.found[name]))

    def difference(self, name: str) -> tuple[float, float]:
        """95% of how much ours is better, drawing households with all their lists."""
        better = np.array(self.found[OURS]) - np.array(self.found[name])
        _, household = np.unique(self.households, return_inverse=True)
        sums = np.bincount(household, better)
        counts = np.bincount(household).astype(float)
        draw = np.random.default_rng(0).integers(len(sums), size=(DRAWS, len(sums)))
        low, high = np.quantile(sums[draw].sum(1) / counts[draw].sum(1), [0.025, 0.975])
        return float(low), float(high)


def judged(*, of: int, every: int, until: date, settings: Settings) -> tuple[Judged, Judged]:
    """Nightly lists and completed baskets of every `every`-th day from `until` on, two months."""
    system = of_households(of)
    ingest(system, settings)
    shop = Shop.trained(system, settings, until, settings.var / "fit")
    peers, nightly, completion = Peers(), Judged(), Judged()
    for day in days(settings.cache, of):
        since = (day.day - until).days
        if since >= 61:
            break
        asked = [query for query in (*day.nightly, *day.completion)
                 if peers.knows(query.household)]
        if since >= 0 and since % every == 0 and asked:
            found = shop.figures(asked)
            for query in asked:
                into, rules = (completion, COMPLETION) if query.basket else (nightly, NIGHTLY)
                into.add(query, found[query.name], peers, rules)
        peers.count(day)
    return nightly, completion


def measure(*, quick: bool) -> Iterator[Measurement]:
    of, every = (40, 20) if quick else (10, 3)
    with TemporaryDirectory(prefix="ml_assets-shop-") as scratch:
        settings = Settings(var=Path(scratch))
        nightly, completion = judged(of=of, every=every, until=TRAINED_UNTIL, settings=settings)
    yield from _measured("shop, nightly", nightly, NIGHTLY, 0.345)
    yield from _measured("shop, baskets completed", completion, COMPLETION, 0.28)


def _measured(
    name: str, found: Judged, rules: dict[str, Rule], goal: float
) -> Iterator[Measurement]:
    ours = found.mean(OURS)
    said = f"{len(found.households):,} lists of {len(set(found.households)):,} households"
    for place, peer in enumerate(rules):
        low, high = found.difference(peer)
        last = place == len(rules) - 1
        yield Measurement(
            bench=f"{name}: {peer}", ours=ours, peer=found.mean(peer), unit="NDCG@10", ratio=None,
            goal=f"at least {goal}, and better than {peer}" if last else f"better than {peer}",
            met=low > 0 and (not last or ours >= goal), equal=None,
            note=f"{said}; better by {low:+.4f} to {high:+.4f} (95%)")
