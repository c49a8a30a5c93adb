"""The map on which payments are made: customers and terminals on a square, and who reaches what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

SIDE = 100.0
RADIUS = 5.0
"""A customer pays at terminals nearer than this."""
CUSTOMERS, TERMINALS = 5_000, 10_000
"""So many of each lie on a square of `SIDE`, as published."""
AT_ONCE = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Reach:
    """The terminals that each customer reaches, in ascending order: those of customer c are
    `terminals[starts[c]:starts[c + 1]]`.
    """

    starts: Whole
    terminals: npt.NDArray[np.int32]

    def of(self, customer: int) -> npt.NDArray[np.int32]:
        return self.terminals[self.starts[customer] : self.starts[customer + 1]]

    @property
    def counts(self) -> Whole:
        return np.diff(self.starts)


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """Of C customers and T terminals.

    customers: (C, 2) where they live; mean: (C,) what they pay on average; rate: (C,) how often
        a day; terminals: (T, 2)
    """

    customers: Floats
    mean: Floats
    rate: Floats
    terminals: Floats

    @classmethod
    def published(cls, customers: int, terminals: int) -> World:
        """As the handbook draws it, whatever the number: the square stays as large as it is."""
        drawn = np.random.RandomState(0).random_sample((customers, 4))
        return cls(
            customers=SIDE * drawn[:, :2], mean=5 + (100 - 5) * drawn[:, 2],
            rate=(4 - 0) * drawn[:, 3],
            terminals=SIDE * np.random.RandomState(1).random_sample((terminals, 2)),
        )

    @classmethod
    def drawn(cls, customers: int, seed: int) -> World:
        """With two terminals for each customer, on a square on which they lie as densely as on the
        published one: however many there are, a customer reaches some eighty.
        """
        terminals = customers * TERMINALS // CUSTOMERS
        side = SIDE * (customers / CUSTOMERS) ** 0.5
        random = np.random.default_rng([seed, customers])
        drawn = random.random((customers, 4))
        return cls(
            customers=side * drawn[:, :2], mean=5 + 95 * drawn[:, 2], rate=4 * drawn[:, 3],
            terminals=side * random.random((terminals, 2)),
        )

    def reach(self) -> Reach:
        """Who reaches what. Terminals are sorted into strips first, so that few are compared."""
        order = np.argsort(self.terminals[:, 0], kind="stable")
        xs = self.terminals[order, 0]
        by_x = np.argsort(self.customers[:, 0], kind="stable")
        found: list[npt.NDArray[np.int32]] = [np.empty(0, np.int32)] * len(self.customers)
        for some in np.array_split(by_x, max(1, len(by_x) // AT_ONCE)):
            if not len(some):
                continue
            low = np.searchsorted(xs, self.customers[some[0], 0] - RADIUS, "left")
            high = np.searchsorted(xs, self.customers[some[-1], 0] + RADIUS, "right")
            near = np.sort(order[low:high])
            apart = np.square(self.customers[some, None] - self.terminals[near]).sum(axis=2)
            for customer, within in zip(some.tolist(), np.sqrt(apart) < RADIUS, strict=True):
                found[customer] = near[within].astype(np.int32)
        starts = np.concatenate([[0], np.cumsum([len(each) for each in found])])
        return Reach(starts=starts.astype(np.int64),
                     terminals=np.concatenate(found) if found else np.empty(0, np.int32))
