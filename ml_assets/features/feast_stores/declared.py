"""What Feast holds of a feature view, as what an online store must know of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from feast import StreamFeatureView
from feast.feature_view import DUMMY_ENTITY_ID

from ml_assets.core.errors import DeclarationError, unknown
from ml_assets.features.engine.windows import Aggregate, WindowedView, parse_view
from ml_assets.features.online_store.backend import View
from ml_assets.features.online_store.versions import Column, PlainView
from ml_assets.ingest.log.served import to_us

_WHOLE = ("Int32", "Int64")
_NUMBERS = ("Float32", "Float64")


def view_of(table: Any) -> View:
    """Of any feature view that Feast stores online.

    Raises DeclarationError if it has aggregations that cannot be computed or whose fields
    cannot hold them; UnknownName for a field that is no aggregation.
    """
    windowed = windowed_view_of(table)
    if windowed is not None:
        return windowed
    ttl: timedelta | None = getattr(table, "ttl", None)
    return PlainView(
        name=table.name, keys=keys_of(table),
        columns=tuple(Column(name, dtype) for name, dtype in types_of(table).items()),
        ttl=(ttl or timedelta(0)) // timedelta(microseconds=1),
    )


def windowed_view_of(table: Any) -> WindowedView | None:
    """The aggregates of a stream feature view; None if it has none.

    Raises DeclarationError if they cannot be computed or a field cannot hold one, UnknownName
    for a field that is no aggregation.
    """
    if not isinstance(table, StreamFeatureView) or not table.aggregations:
        return None
    batch = table.batch_source
    view = parse_view(
        name=table.name, keys=keys_of(table), timestamp=table.timestamp_field,
        created=(batch.created_timestamp_column or "") if batch is not None else "",
        aggregations=table.aggregations, tags=dict(table.tags),
    )
    aggregates = {each.name: each for each in view.aggregates}
    for name, dtype in types_of(table).items():
        if name not in aggregates:
            raise unknown("aggregation", name, aggregates,
                          f"Feature view {view.name!r} has a field of that name.")
        _require_fit(view, aggregates[name], dtype)
    return view


def types_of(table: Any) -> dict[str, str]:
    """The features, each with Feast's name of its type, such as `Float32`."""
    # A stream feature view from the registry has its keys among the features.
    keys = {column.name for column in table.entity_columns}
    return {field.name: str(field.dtype) for field in table.features if field.name not in keys}


def loaded_of(table: Any) -> tuple[int, int] | None:
    """From when to when it was loaded, with or without gaps, as Feast's registry has it."""
    stretches = getattr(table, "materialization_intervals", None)
    if not stretches:
        return None
    return (
        to_us(min(start for start, _ in stretches)),
        to_us(max(end for _, end in stretches)),
    )


def keys_of(table: Any) -> tuple[str, ...]:
    """The join keys in the order of their names; none for a view without entities."""
    # Feast keeps columns in sets: only their names give an order that all processes share.
    names = (column.name for column in table.entity_columns)
    return tuple(sorted(name for name in names if name != DUMMY_ENTITY_ID))


def _require_fit(view: WindowedView, aggregate: Aggregate, dtype: str) -> None:
    fitting: tuple[str, ...] = (*_NUMBERS, *_WHOLE)
    if aggregate.function.is_list:
        fitting = tuple(f"Array({each})" for each in fitting)
    if dtype not in fitting:
        raise DeclarationError(
            f"feature view {view.name!r}: field {aggregate.name!r} is declared as {dtype}; "
            f"{aggregate.function.name} gives one of {', '.join(fitting)}"
        )
