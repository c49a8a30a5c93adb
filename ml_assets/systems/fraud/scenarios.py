"""What fraudsters do, and from when to when: each scenario marks payments of a day as fraud.

The three are the handbook's. There they go on all the time and never change; here each has days
on which it begins and ends, so that a model which was never taught again meets what it has not
seen. What a scenario does on a day depends on the seed and that day, not on days drawn before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ml_assets.core.declaration import declaration
from ml_assets.systems.fraud.handbook import Payments
from ml_assets.systems.fraud.world import CUSTOMERS, TERMINALS, Whole


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many customers and terminals there are."""

    customers: int
    terminals: int


class Scenario(Protocol):
    """Something that fraudsters do."""

    @property
    def number(self) -> int:
        """As `Payments.scenario` has it."""
        ...

    def mark(self, made: Payments, day: int, since: int, size: Size, seed: int) -> None:
        """Mark the payments of `day` in place. since: the day on which the scenario began."""
        ...


@declaration
class Dear:
    """Every payment above an amount is fraud. It is the same as the amount, and easily found."""

    above: float = 220.0

    @property
    def number(self) -> int:
        return 1

    def mark(self, made: Payments, day: int, since: int, size: Size, seed: int) -> None:
        made.scenario[made.amount > self.above] = self.number


@declaration
class Tampered:
    """Terminals are tampered with: all that is paid there is fraud until it is noticed.

    a_day: how many of 10,000 terminals are taken each day; lasts: days
    """

    a_day: float = 2.0
    lasts: int = 28

    @property
    def number(self) -> int:
        return 2

    def mark(self, made: Payments, day: int, since: int, size: Size, seed: int) -> None:
        taken = _taken(day, since, self.lasts, self.a_day / TERMINALS, size.terminals,
                       [seed, self.number])
        made.scenario[np.isin(made.terminal, taken)] = self.number


@declaration
class Stolen:
    """Cards are stolen: a share of what is paid with them is the thief's, and of another size.

    a_day: how many of 5,000 cards are taken each day; lasts: days; factor: by which amounts are
    multiplied. Thieves that want much at once take more, others try many small payments.
    """

    a_day: float = 3.0
    lasts: int = 14
    share: float = 1 / 3
    factor: float = 5.0

    @property
    def number(self) -> int:
        return 3

    def mark(self, made: Payments, day: int, since: int, size: Size, seed: int) -> None:
        taken = _taken(day, since, self.lasts, self.a_day / CUSTOMERS, size.customers,
                       [seed, self.number])
        theirs = np.isin(made.customer, taken)
        chosen = np.random.default_rng([seed, self.number, day]).random(len(theirs)) < self.share
        made.amount[theirs & chosen] = np.maximum(
            np.round(made.amount[theirs & chosen] * self.factor, 2), 0.01)
        made.scenario[theirs & chosen] = self.number


@declaration
class Spell:
    """A scenario on the days `[first, end)`, counted from the first payment's; to the last one if
    `end` is None.
    """

    scenario: Scenario
    first: int = 0
    end: int | None = None

    def mark(self, made: Payments, day: int, size: Size, seed: int) -> None:
        """Mark the payments of `day`, if it is one of the spell's."""
        if self.first <= day and (self.end is None or day < self.end):
            self.scenario.mark(made, day, self.first, size, seed)


def _taken(
    day: int, since: int, lasts: int, rate: float, among: int, seeds: list[int]
) -> npt.NDArray[np.int64]:
    """Whoever was taken within the last `lasts` days, but not before `since`."""
    found: list[Whole] = []
    for start in range(max(since, day - lasts + 1), day + 1):
        count = int((start + 1) * rate * among) - int(start * rate * among)
        random = np.random.default_rng([*seeds, start, 1])
        found.append(random.choice(among, size=count, replace=False))
    return np.concatenate(found) if found else np.empty(0, np.int64)
