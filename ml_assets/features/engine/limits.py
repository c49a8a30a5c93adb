"""What values a function can take: how large one may be to be summed exactly, and texts."""

from __future__ import annotations

import numpy as np

from ml_assets.core.errors import ContractViolation
from ml_assets.features.engine.exact import SQUARED_LIMIT, Floats
from ml_assets.features.engine.windows import Slot, WindowedView


def limit_of(view: WindowedView, slot: Slot) -> float:
    """A value of `slot` must be smaller than this in size."""
    return min(
        need.limit for each in view.aggregates if each.slot == slot
        for need in each.function.needs
    )


def takes_codes(view: WindowedView, slot: Slot) -> bool:
    """Whether a text may be read as its code: whether all that read `slot` as numbers allow it."""
    return slot.form == "number" and all(
        each.function.takes_codes for each in view.aggregates if each.slot == slot
    )


def readers_of(view: WindowedView, slot: Slot) -> str:
    """The functions that read `slot`'s column as a number and not as a code, for an error."""
    return " or ".join(dict.fromkeys(
        each.function.name for each in view.aggregates
        if each.slot == slot and not each.function.takes_codes
    )) or "an aggregate of its values"


def require_summable(view: WindowedView, slot: Slot, values: Floats) -> None:
    """Raises ContractViolation if one of `values` is too large; infinite ones are missing."""
    limit = limit_of(view, slot)
    if limit == np.inf:
        return
    size = np.abs(values)
    wrong = np.flatnonzero((size >= limit) & (size < np.inf))
    if len(wrong):
        what = "squared and summed" if limit == SQUARED_LIMIT else "summed"
        raise ContractViolation(
            f"feature view {view.name!r}: column {slot.column!r} has the value "
            f"{float(values[wrong[0]])!r}; expected less than 2**{int(np.log2(limit))} in size, "
            f"so that it can be {what} exactly"
        )
