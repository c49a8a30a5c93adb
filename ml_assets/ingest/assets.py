"""`archive`, `event_log`, `raw`, `events`, `labels`: what reached the system and what it meant."""

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.core.assets import (
    Materialized,
    attributes,
    check_result,
    column_schema,
    days,
    key,
    keys,
    preview,
    rows,
)
from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.data.tables import Table
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, Clock, midnight

if TYPE_CHECKING:
    from ml_assets.ingest.daily import StoredEvents

MAX_QUARANTINED = 0.05
"""A day with a larger share of unusable records stops the flow: its source has changed."""
FEW = 10
"""So many unusable records stop nothing: of a quiet day one bad record is a large share."""


def build(system: System) -> list[Any]:
    streams = [made for stream in system.streams for made in (
        _archive(system, stream), _raw(system, stream), _events(system, stream))]
    tables = [_table(system, table) for table in system.tables]
    return [_event_log(system), *streams, *tables, _labels(system)]


def _archive(system: System, stream: Stream) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, stream.archive),
        description=f"The recorded history of {_whose(system, stream)}, as fetched and verified. "
        "Source: the package that the system's declaration pins.",
        code_version="1",
        **attributes(system, "ingest", "file", partitioned=False),
    )
    def archive(settings: dg.ResourceParam[Settings]) -> Materialized:
        path = stream.source.fetch(settings.cache)
        return dg.MaterializeResult(
            metadata={"bytes": path.stat().st_size, "file": path.name},
        )

    return archive


def _event_log(system: System) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=key(system, "event_log"),
        description="What the API accepted and answered, and the feedback it received: one row "
        "per prediction and per feedback, written before the answer is sent. Source: live "
        "traffic; Dagster reads it and does not write it.",
        group_name=f"{system.name}_ingest",
        owners=list(system.owners),
        kinds={"sqlite"},
    )


def _raw(system: System, stream: Stream) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, stream.raw),
        deps=keys(system, stream.archive, "event_log"),
        description=f"One row for each record of {_whose(system, stream)} that reached the system "
        "on the day, as it came. "
        f"Before {system.calendar.go_live} from the archive, from then on from the event log.",
        code_version="2",
        **attributes(system, "ingest", "parquet"),
    )
    def raw(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.ingest.daily import store_raw

        wanted = days(context)
        stored = store_raw(system, settings, wanted, stream)
        return dg.MaterializeResult(
            metadata=rows(
                stored.rows,
                days=len(wanted),
                bytes=stored.bytes,
                preview=preview(stored.first.drop(columns="request")),
            )
        )

    return raw


def _events(system: System, stream: Stream) -> dg.AssetsDefinition:
    table = key(system, stream.table)
    columns = [
        ("event_id", "string", "stable id; an event counts once"),
        ("event_timestamp", "timestamp", "when it happened, UTC"),
        ("accepted_at", "timestamp", "when the system received it, UTC; its day is the partition"),
        *_declared(stream.columns),
        ("log_seq", "int", "the log's position at which the online state counts it, if it does"),
    ]

    @dg.asset(
        key=table,
        deps=keys(system, stream.raw),
        description=f"One row for each usable event of {_whose(system, stream)} received on the "
        "day: parsed by the function that the API uses too, and within the data contract. "
        f"Unusable records lie in the table `{stream.quarantine}`, each with the reason.",
        code_version="2",
        metadata={"dagster/column_schema": column_schema(columns)},
        check_specs=[
            dg.AssetCheckSpec(
                "contract_holds", asset=table, blocking=True,
                description="Every stored row keeps the data contract; no id occurs twice.",
            ),
            _is_small(table), *_is_fresh(table, stream.fresh_within),
        ],
        **attributes(system, "ingest", "parquet", "pandas"),
    )
    def events(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.ingest.daily import store_events

        wanted = days(context)
        stored = store_events(system, settings, wanted, stream)
        return dg.MaterializeResult(
            metadata=rows(
                stored.usable, quarantined=stored.aside, days=len(wanted),
                preview=preview(stored.first),
            ),
            check_results=[
                check_result(not stored.broken, "contract_holds",
                             {"broken_rows": len(stored.broken), "reasons": stored.broken[:5]}),
                _small(stored),
                *_fresh(stream.fresh_within, wanted[-1], settings.clock_of(system.name)),
            ],
        )

    return events


def _table(system: System, table: Table) -> dg.AssetsDefinition:
    asset_key = key(system, table.name)
    columns = [
        ("event_timestamp", "timestamp", "from when on the row holds, UTC"),
        ("known_at", "timestamp", "when it could be known, UTC; its day is the partition"),
        *_declared(table.columns),
    ]

    @dg.asset(
        key=asset_key,
        description=f"{table.description}: one row for each `{'`, `'.join(table.keys)}` and "
        f"instant, filed by the day on which it became known; what was known before "
        f"{system.calendar.first_day}, under that day. Source: what the declaration names. "
        f"Rows that break the data contract lie in the table `{table.quarantine}`.",
        code_version="1",
        metadata={"dagster/column_schema": column_schema(columns)},
        check_specs=[_is_small(asset_key), *_is_fresh(asset_key, table.fresh_within)],
        **attributes(system, "ingest", "parquet"),
    )
    def kept(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.ingest.kept import store_table

        wanted = days(context)
        stored = store_table(system, settings, table, wanted)
        return dg.MaterializeResult(
            metadata=rows(stored.usable, quarantined=stored.aside, days=len(wanted),
                          preview=preview(stored.first)),
            check_results=[_small(stored), *_fresh(
                table.fresh_within, wanted[-1], settings.clock_of(system.name))],
        )

    return kept


def _is_small(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        "quarantine_is_small", asset=asset_key, blocking=True,
        description=f"At most {MAX_QUARANTINED:.0%} of the records are unusable, or fewer "
        f"than {FEW} (then a warning).",
    )


def _small(stored: "StoredEvents") -> dg.AssetCheckResult:
    return check_result(
        stored.share_aside <= MAX_QUARANTINED, "quarantine_is_small",
        {"quarantined": stored.aside, "share": stored.share_aside, "reasons": stored.reasons},
        severity=dg.AssetCheckSeverity.WARN if stored.aside < FEW
        else dg.AssetCheckSeverity.ERROR,
    )


def _is_fresh(asset_key: dg.AssetKey, within: timedelta | None) -> list[dg.AssetCheckSpec]:
    """Of a stream or table for which somebody waits."""
    return [] if within is None else [dg.AssetCheckSpec(
        "is_fresh", asset=asset_key,
        description=f"A day is ingested within {within} of its end.")]


def _fresh(within: timedelta | None, last: date, clock: Clock) -> list[dg.AssetCheckResult]:
    if within is None:
        return []
    late = clock.now() - (midnight(last) + DAY + within)
    return [check_result(late <= timedelta(0), "is_fresh",
                         {"late_hours": max(0.0, late / timedelta(hours=1))},
                         severity=dg.AssetCheckSeverity.WARN)]


def _declared(columns: tuple[Column, ...]) -> list[tuple[str, str, str]]:
    """Name, type and description of each."""
    return [(column.name, f"list of {column.dtype}" if column.many else column.dtype,
             column.description) for column in columns]


def _whose(system: System, stream: Stream) -> str:
    return f"`{system.name}`" if stream.asked else f"`{system.name}`'s stream `{stream.name}`"


def _labels(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, "labels"),
        deps=keys(system, "raw", "events", "event_log"),
        description=f"One row for each outcome `{system.target.name}` that became known on the "
        f"day. {system.truth.says.capitalize()}. A later row corrects an earlier one. The entity "
        "keys are those of the event.",
        code_version="2",
        check_specs=[
            dg.AssetCheckSpec(
                "known_after_it_happened", asset=key(system, "labels"), blocking=True,
                description="No label is known before its event, nor outside its day.",
            )
        ],
        **attributes(system, "ingest", "parquet"),
    )
    def labels(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.ingest.daily import store_labels

        stored = store_labels(system, settings, days(context))
        return dg.MaterializeResult(
            metadata=rows(sum(stored.by_basis.values()), frequent=stored.frequent,
                          **stored.by_basis),
            check_results=[check_result(stored.early == 0, "known_after_it_happened",
                                        {"early": stored.early})],
        )

    return labels
