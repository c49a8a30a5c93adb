"""The payments of the fraud detection handbook, number for number.

Le Borgne, Siblini, Lebichot, Bontempi, "Reproducible machine learning for credit card fraud
detection: practical handbook" (2022), chapter 3: what is drawn, from which generators, in which
order, with which seeds. Written from that description; no line of its code is used.

Each customer has generators of their own, which draw payment by payment: that order is part of
the published numbers, so it cannot be drawn many at a time. 1.75 million payments take some ten
CPU seconds. `payments.py` draws days at once, for any other size.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_assets.systems.fraud.world import CUSTOMERS, TERMINALS, Floats, Reach, Whole, World

DAYS = 183
NOON, SPREAD, DAY_S = 86_400 / 2, 20_000, 86_400
DEAR = 220.0
COMPROMISED_TERMINALS, TERMINAL_DAYS = 2, 28
COMPROMISED_CUSTOMERS, CUSTOMER_DAYS, SHARE, FACTOR = 3, 14, 3, 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Payments:
    """N payments in order of time.

    second: since the first day's midnight; scenario: 0 if a payment is honest, otherwise which
    scenario made it fraud, of several the latest
    """

    second: Whole
    customer: npt.NDArray[np.int32]
    terminal: npt.NDArray[np.int32]
    amount: Floats
    scenario: npt.NDArray[np.int8]

    @property
    def day(self) -> Whole:
        return self.second // DAY_S


Counts = tuple[int, int, int]
"""How many frauds each scenario added to those before it, as the handbook counts them."""


def handbook(
    customers: int = CUSTOMERS, terminals: int = TERMINALS, days: int = DAYS
) -> tuple[Payments, Counts]:
    """As published for these numbers."""
    world = World.published(customers, terminals)
    reach = world.reach()
    drawn = [_of_customer(customer, world, reach, days) for customer in range(customers)]
    second = np.concatenate([each[0] for each in drawn])
    order = np.argsort(second, kind="stable")
    who = np.repeat(np.arange(customers, dtype=np.int32), [len(each[0]) for each in drawn])
    made = Payments(
        second=second[order], customer=who[order],
        terminal=np.concatenate([each[1] for each in drawn])[order],
        amount=np.concatenate([each[2] for each in drawn])[order],
        scenario=np.zeros(len(order), np.int8),
    )
    return made, _add_frauds(made, customers, terminals)


def _of_customer(
    customer: int, world: World, reach: Reach, days: int
) -> tuple[Whole, npt.NDArray[np.int32], Floats]:
    """Seconds, terminals and amounts of one customer's payments, day by day as drawn."""
    draw, choice = np.random.RandomState(customer), random.Random(customer).choice
    rate, mean = float(world.rate[customer]), float(world.mean[customer])
    near = reach.of(customer).tolist()
    seconds, terminals, amounts = [], [], []
    for day in range(days):
        for _ in range(draw.poisson(rate)):
            second = int(draw.normal(NOON, SPREAD))
            if not 0 < second < DAY_S:
                continue
            amount = draw.normal(mean, mean / 2)
            if amount < 0:
                amount = draw.uniform(0, mean * 2)
            if near:
                seconds.append(day * DAY_S + second)
                terminals.append(choice(near))
                amounts.append(amount)
    return (np.array(seconds, np.int64), np.array(terminals, np.int32),
            np.array(amounts, np.float64).round(2))


def _add_frauds(made: Payments, customers: int, terminals: int) -> Counts:
    """Mark them in place. What a later scenario takes was an earlier one's no more."""
    def frauds() -> int:
        return int(np.count_nonzero(made.scenario))

    made.scenario[made.amount > DEAR] = 1
    dear, day = frauds(), made.day
    last = int(day[-1]) if len(day) else 0
    for start in range(last):
        chosen = _drawn(start, terminals, COMPROMISED_TERMINALS)
        low, high = np.searchsorted(day, [start, start + TERMINAL_DAYS])
        made.scenario[low:high][np.isin(made.terminal[low:high], chosen)] = 2
    at_terminals = frauds()
    for start in range(last):
        chosen = _drawn(start, customers, COMPROMISED_CUSTOMERS)
        low, high = np.searchsorted(day, [start, start + CUSTOMER_DAYS])
        pooled = low + np.flatnonzero(np.isin(made.customer[low:high], chosen))
        taken = random.Random(start).sample(pooled.tolist(), k=len(pooled) // SHARE)
        made.amount[taken] *= FACTOR
        made.scenario[taken] = 3
    return dear, at_terminals - dear, frauds() - at_terminals


def _drawn(day: int, among: int, count: int) -> Whole:
    """As `pandas.Series.sample` draws with this seed."""
    return np.random.RandomState(day).choice(among, size=count, replace=False)
