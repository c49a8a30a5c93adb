"""What follows from the counts of a household and of a product, compared with one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = Mapping[str, npt.NDArray[Any]]
UTC_OFFSET = np.timedelta64(5, "h")
"""The shops' clocks, but for summer time."""


def compared(rows: Rows) -> dict[str, npt.NDArray[Any]]:
    """Shares of what a household buys; how overdue a product is by its usual pace (1: now);
    this week's price and discount beside the usual ones; the shop's weekday and hour."""
    often, since = rows["theirs_112d"], rows["since_theirs"]
    pace = (rows["since_their_first"] - since) / np.maximum(often - 1, 1)
    here = rows["event_timestamp"] - UTC_OFFSET
    day = here.astype("M8[D]")
    with np.errstate(all="ignore"):
        return {
            "their_share_28d": rows["theirs_28d"] / np.maximum(rows["all_theirs_28d"], 1),
            "their_share_112d": often / np.maximum(rows["all_theirs_112d"], 1),
            "overdue": np.where(often >= 2, since / np.maximum(pace, 3600.0), np.nan),
            "price_now": rows["paid_7d"] / rows["paid_112d"],
            "discount_now": rows["discount_7d"] - rows["discount_112d"],
            "share_of_sales": rows["sold_7d"] / np.maximum(rows["sold_112d"], 1),
            "weekday": (day.astype(np.int64) + 3) % 7,
            "hour": (here - day) / np.timedelta64(1, "h"),
        }
