"""What a retrieval asks of each feature view."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.history.relations.source import Source


@dataclass(frozen=True)
class Output:
    """A feature: its name in the view, its name in the answer, the type it is declared with."""

    feature: str
    name: str
    kind: pa.DataType


@dataclass(frozen=True, kw_only=True)
class ViewPlan:
    """One feature view of a retrieval; columns are called as the view calls them.

    spine_keys, keys: the columns that must be equal, in the spine and in the source
    ttl: microseconds for which a row counts; 0 for ever
    windowed: its aggregates, where it has any
    """

    name: str
    source: Source
    spine_keys: tuple[str, ...]
    keys: tuple[str, ...]
    timestamp: str
    created: str
    ttl: int
    outputs: tuple[Output, ...]
    declared: pa.Schema
    windowed: WindowedView | None
