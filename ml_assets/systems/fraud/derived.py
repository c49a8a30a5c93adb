"""What follows from a payment and what its customer has paid before."""

from __future__ import annotations

import numpy as np

from ml_assets.features.derived.declared import Arrays

DAYS = (1, 7, 30)


def compared(rows: Arrays) -> Arrays:
    """The customer's windows with the payment itself, and how the payment differs from them.

    A window never counts its own event, and the handbook's do: a mean of n payments and one more
    is `(n * mean + amount) / (n + 1)`.
    """
    amount = rows["amount"]
    given = {}
    for days in DAYS:
        count, mean = rows[f"customer_payments_{days}d"], rows[f"customer_amount_{days}d"]
        given[f"customer_count_{days}d"] = count + 1
        given[f"customer_mean_{days}d"] = (count * np.nan_to_num(mean) + amount) / (count + 1)
    usual = rows["customer_amount_30d"]
    given["times_usual"] = amount / usual
    given["above_usual"] = (amount - usual) / np.maximum(rows["customer_amount_std_30d"], 1.0)
    happened = rows["event_timestamp"]
    day = happened.astype("M8[D]")
    given["at_night"] = (happened - day) / np.timedelta64(1, "h") < 7
    # 1 January 1970 was a Thursday.
    given["on_weekend"] = (day.astype(np.int64) + 3) % 7 >= 5
    return given


GIVES = ("at_night", "on_weekend", *(f"customer_{what}_{days}d" for what in ("count", "mean")
                                     for days in DAYS), "times_usual", "above_usual")
