"""What the player derives of a track on a page."""

from __future__ import annotations

import numpy as np

from ml_assets.features.derived.declared import Arrays


def heard(rows: Arrays) -> Arrays:
    """Whether the listener knows the track, and what time it is, by two clocks."""
    happened = rows["event_timestamp"].astype("M8[us]")
    clock = (happened - happened.astype("M8[D]")) / np.timedelta64(1, "h")
    return {
        "known": ~np.isnan(rows["since_they_played"]),
        "time_of_day": (rows["hour"] + clock) / 2,
    }
