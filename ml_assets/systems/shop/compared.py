"""What follows from the counts of a household and of a product, compared with one another."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

WINDOWS = (7, 14, 28, 56, 112, 224)
"""Days in which a household's purchases of a grocery are counted."""
HALF_LIFE_DAYS = 60.0
Rows = Mapping[str, npt.NDArray[Any]]
UTC_OFFSET = np.timedelta64(5, "h")
"""The shops' clocks, but for summer time."""


def compared(rows: Rows) -> dict[str, npt.NDArray[Any]]:
    """What a household bought of a grocery, where a purchase of 60 days ago counts half: each
    window's, at the age of its middle. Shares of what a household buys; how overdue a grocery is
    by its usual pace (1: now); this week's price and discount beside the usual ones; the shop's
    weekday and hour."""
    counts = [rows[f"theirs_{days}d"] for days in WINDOWS]
    ages = zip((0, *WINDOWS), WINDOWS, strict=False)
    weights = [2 ** (-(younger + older) / 2 / HALF_LIFE_DAYS) for younger, older in ages]
    apart = [counts[0], *(each - before for before, each in pairwise(counts))]
    decayed = sum(each * weight for each, weight in zip(apart, weights, strict=True))
    often, since = counts[-1], rows["since_theirs"]
    pace = (rows["since_their_first"] - since) / np.maximum(often - 1, 1)
    here = rows["event_timestamp"] - UTC_OFFSET
    day = here.astype("M8[D]")
    with np.errstate(all="ignore"):
        return {
            "decayed": np.asarray(decayed),
            "their_share_28d": rows["theirs_28d"] / np.maximum(rows["all_theirs_28d"], 1),
            "their_share_112d": rows["theirs_112d"] / np.maximum(rows["all_theirs_112d"], 1),
            "overdue": np.where(often >= 2, since / np.maximum(pace, 3600.0), np.nan),
            "price_now": rows["paid_7d"] / rows["paid_112d"],
            "discount_now": rows["discount_7d"] - rows["discount_112d"],
            "share_of_sales": rows["sold_7d"] / np.maximum(rows["sold_112d"], 1),
            "weekday": (day.astype(np.int64) + 3) % 7,
            "hour": (here - day) / np.timedelta64(1, "h"),
        }
