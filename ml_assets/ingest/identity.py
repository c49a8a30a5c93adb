"""Which rows of two tables speak of the same event.

An event is the same where its id is, to the last code point, and where it came from: history and
the API each have ids of their own, so that nobody who posts an id of the archive relabels history.
pandas compares single columns of texts as Python does. Of several columns, and when it validates
a merge, it hashes texts only up to a NUL, so that it takes different ones for the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd

_CODE = "__code"


def of_events(events: pd.DataFrame, live_from: datetime) -> pd.Series[str]:
    """Of rows with `event_id` and `accepted_at`, one name for each event."""
    return _identities(events["event_id"], (events["accepted_at"] < live_from).tolist())


def of_labels(labels: pd.DataFrame) -> pd.Series[str]:
    """The same of rows with `event_id` and `basis`."""
    return _identities(labels["event_id"], (labels["basis"] == "archive").tolist())


def _identities(event_ids: pd.Series[str], archived: Sequence[bool]) -> pd.Series[str]:
    return pd.Series(
        [f"{'archive' if old else 'api'} {event_id}"
         for event_id, old in zip(event_ids, archived, strict=True)],
        index=event_ids.index, dtype=object,
    )


def merge_exactly(
    left: pd.DataFrame, right: pd.DataFrame, *, on: Sequence[str], one: bool = False,
    suffix: str = "_right",
) -> pd.DataFrame:
    """The inner merge on these columns, whatever their texts hold.

    one: raise pandas.errors.MergeError if `right` has several rows for the same
    """
    codes: dict[tuple[object, ...], int] = {}

    def coded(rows: pd.DataFrame) -> list[int]:
        keys = zip(*(rows[name].tolist() for name in on), strict=True)
        return [codes.setdefault(key, len(codes)) for key in keys]

    return left.assign(**{_CODE: coded(left)}).merge(
        right.drop(columns=list(on)).assign(**{_CODE: coded(right)}), on=_CODE,
        validate="many_to_one" if one else None, suffixes=("", suffix),
    ).drop(columns=_CODE)
