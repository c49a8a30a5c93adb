"""Deciding by what a decision costs, row by row."""

from __future__ import annotations

from math import isfinite

import numpy as np

from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require
from ml_assets.core.target import Bools, Floats

MISSES, ALARMS = "cost_of_misses", "cost_of_alarms"


@declaration
class Cost:
    """A row is decided True if that is expected to cost less: if its probability times `miss` is
    more than `alarm` (Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001). So each
    row has a threshold of its own.

    miss: what it costs to decide False of a row that is True
    alarm: what it costs to decide True, whatever the row is: somebody looks into it
    unit: of both: "EUR", "min"

    Each is a number, or the name of a number column of the event that the model reads.
    """

    miss: str | float
    alarm: str | float
    unit: str

    def __post_init__(self) -> None:
        for name in ("miss", "alarm"):
            value = getattr(self, name)
            require(value.isidentifier() if isinstance(value, str)
                    else isfinite(value) and value > 0 and not isinstance(value, bool),
                    self, name, value, "a number above 0, or the name of a column")
        require(bool(self.unit), self, "unit", self.unit, "what costs are counted in: 'EUR'")

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that say what a row costs."""
        return tuple(dict.fromkeys(
            each for each in (self.miss, self.alarm) if isinstance(each, str)))

    def of_rows(self, values_NC: Floats) -> tuple[Floats, Floats]:
        """What a miss and what an alarm costs, (N,) each; values (N, C) of `columns`."""
        miss_N, alarm_N = (
            values_NC[:, self.columns.index(each)] if isinstance(each, str)
            else np.full(len(values_NC), float(each)) for each in (self.miss, self.alarm))
        return miss_N, alarm_N

    def thresholds(self, values_NC: Floats) -> Floats:
        """The probability (N,) above which a row is decided True; from 1 on none is."""
        miss_N, alarm_N = self.of_rows(values_NC)
        found_N: Floats = np.divide(alarm_N, miss_N, out=np.full(len(miss_N), np.inf),
                                    where=miss_N > 0)
        return found_N

    def of_decisions(
        self, true_N: Bools, decided_N: Bools, values_NC: Floats
    ) -> dict[str, Floats]:
        """What each row came to, (N,), for misses and for alarms."""
        miss_N, alarm_N = self.of_rows(values_NC)
        return {MISSES: np.where(true_N & ~decided_N, miss_N, 0.0),
                ALARMS: np.where(decided_N, alarm_N, 0.0)}
