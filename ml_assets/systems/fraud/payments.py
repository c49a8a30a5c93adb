"""Payments of any number of customers, a day at a time.

As in the handbook, but a day's payments are drawn at once and depend on the seed and the day
alone: nothing is held but the customers and what they reach, and 100 million payments take no more
memory than that and one day. The numbers are not the published ones; `handbook.py` has those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ml_assets.systems.fraud.handbook import DAY_S, NOON, SPREAD, Payments
from ml_assets.systems.fraud.scenarios import Size, Spell
from ml_assets.systems.fraud.world import Reach, World


def drawn(
    customers: int, days: int, spells: Sequence[Spell], seed: int
) -> Iterator[Payments]:
    """The payments of each day, in order. Of several spells the last one that marks a payment
    counts, and later ones see the amounts that earlier ones have changed.
    """
    world = World.drawn(customers, seed)
    reach, size = world.reach(), Size(customers=customers, terminals=len(world.terminals))
    for day in range(days):
        made = _of_day(day, world, reach, seed)
        for spell in spells:
            spell.mark(made, day, size, seed)
        yield made


def _of_day(day: int, world: World, reach: Reach, seed: int) -> Payments:
    random = np.random.default_rng([seed, 0, day])
    customer = np.repeat(np.arange(len(world.rate), dtype=np.int32), random.poisson(world.rate))
    second = random.normal(NOON, SPREAD, len(customer)).astype(np.int64)
    kept = (second > 0) & (second < DAY_S) & (reach.counts[customer] > 0)
    customer, second = customer[kept], second[kept]
    mean = world.mean[customer]
    amount = random.normal(mean, mean / 2)
    amount = np.where(amount < 0, random.uniform(0, 2 * mean), amount)
    nth = (random.random(len(customer)) * reach.counts[customer]).astype(np.int64)
    terminal = reach.terminals[reach.starts[customer] + nth]
    order = np.argsort(second, kind="stable")
    return Payments(
        second=day * DAY_S + second[order], customer=customer[order], terminal=terminal[order],
        amount=np.round(amount[order], 2), scenario=np.zeros(len(order), np.int8))
