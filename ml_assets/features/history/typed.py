"""Numbers of the engine as Arrow columns, in the types that a feature view declares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml_assets.core.errors import DeclarationError
from ml_assets.features.engine.exact import Floats
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.history.plan import Output


def typed(
    view: WindowedView, output: Output, values: Floats, nobody: npt.NDArray[np.bool_]
) -> pa.Array:
    """One feature of m rows; what has no value is null.

    values: (m, the view's columns); a list of numbers has those that there are, newest first
    nobody: (m) rows without an entity: null even where a list would be empty

    Raises DeclarationError where the declared type, of those that fit the function
    (`stores.declared`), cannot hold the values: whole numbers a fraction.
    """
    place, aggregate = 0, None
    for aggregate in view.aggregates:
        if aggregate.name == output.feature:
            break
        place += len(aggregate.columns)
    assert aggregate is not None
    if not aggregate.function.is_list:
        return _numbers(view, output, values[:, place], output.kind)
    taken = values[:, place:place + aggregate.function.width]
    there = ~np.isnan(taken)
    ends = np.cumsum(there.sum(axis=1))
    return pa.ListArray.from_arrays(
        pa.array(np.append(0, ends), type=pa.int32()),
        _numbers(view, output, taken[there], output.kind.value_type),
        mask=pa.array(nobody),
    )


def _numbers(view: WindowedView, output: Output, values: Floats, kind: pa.DataType) -> pa.Array:
    missing = np.isnan(values)
    if pa.types.is_floating(kind):
        return pa.array(values.astype(kind.to_pandas_dtype()), type=kind, mask=missing)
    try:
        return pa.array(values, mask=missing).cast(kind)
    except pa.ArrowInvalid as error:
        raise DeclarationError(
            f"feature view {view.name!r}: field {output.feature!r} is declared as {output.kind}, "
            f"but {error}; declare another type"
        ) from None
