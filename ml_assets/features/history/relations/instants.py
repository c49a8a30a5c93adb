"""The event timestamps of a spine: instants in UTC, or a refusal that names the column.

A number is no instant: pandas takes 1709251200 for two seconds of 1970, where nothing had
happened yet, and every feature would be missing.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from ml_assets.core.errors import InvalidRequest

EXPECTED = ("expected instants: datetimes, or texts such as '2024-03-01T12:00:00Z'; those "
            "without a zone are in UTC")


def instants_of(column: pd.Series[Any], name: str) -> pd.Series[Any]:
    """The aware instants in a column of a DataFrame; what is missing stays missing.

    Raises InvalidRequest for numbers, for texts that are not in ISO 8601, and for instants that
    no timestamp can hold.
    """
    instants = column.infer_objects()
    if pd.api.types.is_datetime64_any_dtype(instants):
        return instants.dt.tz_localize("UTC") if instants.dt.tz is None else instants
    wrong = next(filter(_is_no_instant, instants), None)
    if wrong is not None:
        wrong = wrong.item() if isinstance(wrong, np.generic) else wrong
        raise InvalidRequest(
            f"the spine's {name!r} is {column.dtype} and has the value {wrong!r:.80}; {EXPECTED}"
            f"{_advice(name, wrong)}"
        )
    try:
        return pd.to_datetime(instants, utc=True, format="ISO8601")
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidRequest(
            f"the spine's {name!r} is {column.dtype}: {error}; {EXPECTED}"
        ) from None


def _is_no_instant(value: Any) -> bool:
    if isinstance(value, str):
        # `20240301` may be a day and a number of seconds.
        return value.strip().lstrip("+-").replace(".", "", 1).isdecimal()
    return not (isinstance(value, datetime | date | np.datetime64) or pd.isna(value) is True)


def _advice(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return f". For seconds since 1970: pd.to_datetime(df[{name!r}], unit='s', utc=True)"
