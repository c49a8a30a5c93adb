"""What all rooms' Dagster assets have in common: keys, groups, partitions, metadata.

A room's `assets.py` has one function `build(system)` that returns its assets and checks.
An asset reads, calls one function of its room, and returns the result with metadata.
"""

import base64
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import dagster as dg

from ml_assets.core.system import System
from ml_assets.core.time import parse_day

if TYPE_CHECKING:
    import pandas as pd

# Single-run backfills are beta in Dagster; what we rely on of them is tested.
warnings.filterwarnings("ignore", message=".*backfill_policy", category=dg.BetaWarning)

if TYPE_CHECKING:
    Materialized = dg.MaterializeResult[Any]
else:
    Materialized = dg.MaterializeResult
    """What assets are annotated to return: Dagster does not know `MaterializeResult[Any]`."""

Room = Literal[
    "ingest", "features", "training", "evaluation", "registry", "serving", "feedback", "monitoring"
]


class Attributes(TypedDict, total=False):
    """What `dg.asset` is told of every asset."""

    group_name: str
    owners: list[str]
    kinds: set[str]
    partitions_def: dg.PartitionsDefinition[Any]
    backfill_policy: dg.BackfillPolicy


def key(system: System, name: str) -> dg.AssetKey:
    """The key of a system's asset, e.g. `spam/model`."""
    return dg.AssetKey([system.name, name])


def keys(system: System, *names: str) -> list[dg.AssetKey]:
    return [key(system, name) for name in names]


def daily(system: System) -> dg.DailyPartitionsDefinition:
    """One partition a day (UTC), over the days of the system's calendar."""
    last = system.calendar.last_day
    return dg.DailyPartitionsDefinition(
        start_date=system.calendar.first_day.isoformat(),
        # Dagster's end is exclusive.
        end_date=None if last is None else date.fromordinal(last.toordinal() + 1).isoformat(),
    )


def attributes(
    system: System, room: Room, *kinds: str, partitioned: bool = True
) -> Attributes:
    """The attributes that an asset takes from its system and room.

    Daily assets backfill any range of days in one run.
    """
    shared = Attributes(
        group_name=f"{system.name}_{room}", owners=list(system.owners), kinds=set(kinds)
    )
    if partitioned:
        shared["partitions_def"] = daily(system)
        shared["backfill_policy"] = dg.BackfillPolicy.single_run()
    return shared


def days(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[date]:
    """The days that a run of a daily asset is asked for, in order."""
    return [parse_day(partition) for partition in context.partition_keys]


def preview(rows: "pd.DataFrame", count: int = 5) -> dg.MetadataValue:
    """The first rows as a table; long texts are cut at 80 characters."""
    head = rows.head(count)
    columns = [str(column).replace("|", "\\|") for column in head.columns]
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for row in head.itertuples(index=False):
        cells = (str(cell).replace("\n", " ").replace("|", "\\|") for cell in row)
        lines.append(f"| {' | '.join(cell[:80] for cell in cells)} |")
    return dg.MetadataValue.md("\n".join(lines))


def plot(png: bytes, title: str) -> dg.MetadataValue:
    """A plot that the asset's page shows (at most 50 KB keeps the page quick)."""
    return dg.MetadataValue.md(
        f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"
    )


def rows(count: int, **more: Any) -> dict[str, Any]:
    """Metadata that starts with Dagster's standard row count."""
    return {"dagster/row_count": count, **more}


def column_schema(columns: Iterable[tuple[str, str, str]]) -> dg.TableSchema:
    """Dagster's table schema from (name, type, description)."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name=name, type=dtype, description=text) for name, dtype, text in columns
        ]
    )


def check_result(
    passed: bool,
    name: str,
    metadata: Mapping[str, Any] | None = None,
    *,
    asset_key: dg.AssetKey | None = None,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """The result of a check that an asset returns together with its value."""
    return dg.AssetCheckResult(
        passed=passed,
        check_name=name,
        asset_key=asset_key,
        severity=severity,
        metadata=dict(metadata or {}),
    )


def flatten(groups: Iterable[Sequence[Any]]) -> list[Any]:
    return [item for group in groups for item in group]
