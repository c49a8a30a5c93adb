"""What the market derives of a basket."""

from __future__ import annotations

import numpy as np

from ml_assets.features.derived.declared import Arrays


def haggled(rows: Arrays) -> Arrays:
    """How the price compares with the stall's usual one, and whether it is paid in the evening."""
    happened = rows["event_timestamp"].astype("M8[us]")
    hour = (happened - happened.astype("M8[D]")) / np.timedelta64(1, "h")
    return {
        "dearer": rows["price"] / rows["price_1d"],
        "cash_late": (rows["pays"] == "cash") & (hour >= 18),
    }
