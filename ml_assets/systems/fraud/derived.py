"""What follows from a payment and from what was before it."""

from __future__ import annotations

import numpy as np

from ml_assets.features.derived.declared import Arrays

DAYS = (1, 7, 30)
DELAY = 7
"""Days after which it is known whether a payment was fraud."""
RISKY = (5, 20, 40, 60, 80)
"""Percent. A share that is nearly always 0 lies so far out where it is not that a model, which
sees numbers up to 5 deviations, could not tell 20% from 80%."""


def compared(rows: Arrays) -> Arrays:
    """The customer's windows with the payment itself, how the payment differs from them, and of
    a terminal's payments that are old enough the share of fraud.

    A window never counts its own event, and the handbook's do: a mean of n payments and one more
    is `(n * mean + amount) / (n + 1)`. Payments from 8 days ago to 7 are those of 8 days without
    those of 7.
    """
    amount = rows["amount"]
    given = {}
    for days in DAYS:
        count, mean = rows[f"customer_payments_{days}d"], rows[f"customer_amount_{days}d"]
        given[f"customer_count_{days}d"] = count + 1
        given[f"customer_mean_{days}d"] = (count * np.nan_to_num(mean) + amount) / (count + 1)
        old = rows[f"terminal_payments_{days + DELAY}d"] - rows[f"terminal_payments_{DELAY}d"]
        given[f"terminal_known_{days}d"] = old
        risk = np.minimum(rows[f"terminal_fraud_{days}d"] / np.maximum(old, 1), 1)
        given[f"terminal_risk_{days}d"] = risk
        for percent in RISKY:
            given[f"terminal_risk_{days}d_over_{percent}"] = 100 * risk > percent
    usual = rows["customer_amount_30d"]
    given["times_usual"] = amount / np.maximum(usual, 1)
    given["above_usual"] = (amount - usual) / np.maximum(rows["customer_amount_std_30d"], 1)
    happened = rows["event_timestamp"]
    day = happened.astype("M8[D]")
    given["at_night"] = (happened - day) / np.timedelta64(1, "h") < 7
    # 1 January 1970 was a Thursday.
    given["on_weekend"] = (day.astype(np.int64) + 3) % 7 >= 5
    return given


GIVES = ("at_night", "on_weekend", "times_usual", "above_usual",
         *(f"{what}_{days}d" for days in DAYS for what in (
             "customer_count", "customer_mean", "terminal_known", "terminal_risk")),
         *(f"terminal_risk_{days}d_over_{percent}" for days in DAYS for percent in RISKY))
