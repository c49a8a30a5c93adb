"""`<entity>_history`, `<entity>_history_view`, the feature service and `training_set`."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from ml_assets.core.assets import (
    Materialized,
    attributes,
    check_result,
    days,
    key,
    keys,
    preview,
    rows,
)
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.features.feast_assets import FeastAssetSpecs, build_feast_asset_specs
from ml_assets.features.manifest import load_manifest

ENGINE = "1"
"""Version of the code behind the histories; raise it when their values change."""


def build(system: System) -> list[Any]:
    specs = build_feast_asset_specs(
        load_manifest(Settings.from_environment()), system, engine=ENGINE
    )
    return [_histories(system, specs), _views(system, specs), specs.service, _training_set(system)]


def _histories(system: System, specs: FeastAssetSpecs) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{system.name}_entity_histories",
        specs=specs.sources,
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[
            dg.AssetCheckSpec(
                "one_row_for_an_entity", asset=spec.key, blocking=True,
                description="On each day every entity has at most one row, at the day's end.",
            )
            for spec in specs.sources
        ],
    )
    def entity_histories(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Iterator[dg.MaterializeResult[None]]:
        import duckdb

        from ml_assets.features.daily_history import changes, history_schema
        from ml_assets.features.history_inputs import read_inputs
        from ml_assets.ingest.lake import Lake

        lake, wanted = Lake(settings.lake), days(context)
        chosen = {spec.key: specs.by_key[spec.key] for spec in specs.sources
                  if spec.key in context.selected_asset_keys}
        inputs = read_inputs(lake, system, list(chosen.values()), wanted[0], wanted[-1])
        with duckdb.connect() as db:
            for asset_key, view in chosen.items():
                there = lake.days(system.name, view.table)
                is_first = not there or wanted[0] <= there[0]
                found = changes(
                    inputs.events, inputs.labels, key=view.key, aggregates=view.aggregates,
                    instants=[midnight(day) + DAY for day in wanted],
                    since=None if is_first else midnight(wanted[0]), db=db,
                ).to_pandas()
                of_day = (found["event_timestamp"] - DAY).dt.date
                schema = history_schema(view.key, view.aggregates)
                for day in wanted:
                    lake.write(system.name, view.table, day, found[of_day == day], schema)
                doubled = int(found.duplicated(["event_timestamp", view.key]).sum())
                yield dg.MaterializeResult(
                    asset_key=asset_key,
                    metadata=rows(
                        len(found), entities=found[view.key].nunique(), days=len(wanted),
                        preview=preview(found),
                    ),
                    check_results=[check_result(doubled == 0, "one_row_for_an_entity",
                                                {"doubled": doubled}, asset_key=asset_key)],
                )

    return entity_histories


def _views(system: System, specs: FeastAssetSpecs) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{system.name}_online_store",
        specs=specs.feature_views,
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def online_store(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Iterator[dg.MaterializeResult[None]]:
        from ml_assets.features.online_load import load_view

        wanted = days(context)
        for spec in specs.feature_views:
            if spec.key not in context.selected_asset_keys:
                continue
            loaded = load_view(settings, specs.by_key[spec.key], wanted)
            behind = settings.clock.now() - loaded.until
            yield dg.MaterializeResult(
                asset_key=spec.key,
                metadata=rows(
                    loaded.rows, hours_behind=behind / timedelta(hours=1),
                    until=dg.MetadataValue.timestamp(loaded.until),
                ),
            )

    return online_store


def _training_set(system: System) -> dg.AssetsDefinition:
    asset_key = key(system, "training_set")

    @dg.asset(
        key=asset_key,
        deps=keys(system, system.feature_service, "events", "labels"),
        description="One row for each event whose label is known, with the features of its own "
        "time from Feast's point-in-time join; the latest are held out to judge the model. "
        f"Source: `{system.name}/events`, `{system.name}/labels`, the feature service "
        f"`{system.feature_service}`.",
        code_version="1",
        check_specs=[
            dg.AssetCheckSpec(
                "labels_were_known", asset=asset_key, blocking=True,
                description="No label was known at or after the instant of building.",
            ),
            dg.AssetCheckSpec(
                "features_know_no_future", asset=asset_key, blocking=True,
                description="Every feature, computed again from events and labels before its "
                "event's day alone, is the same bit by bit.",
            ),
            dg.AssetCheckSpec(
                "both_classes_present", asset=asset_key, blocking=True,
                description="Both parts hold positives and negatives.",
            ),
        ],
        **attributes(system, "features", "feast", "parquet", partitioned=False),
    )
    def training_set(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.features.history_inputs import all_inputs
        from ml_assets.features.leakage import leaking_rows
        from ml_assets.features.training_set import TrainingSets
        from ml_assets.ingest.lake import Lake

        built = TrainingSets(settings, system).build(settings.clock.now())
        table = built.rows
        late = int((table["known_at"] >= built.as_of).sum())
        views = load_manifest(settings).service(system).views
        inputs = all_inputs(Lake(settings.lake), system, built.as_of.date())
        leaking = table.loc[leaking_rows(table, views, inputs), "event_id"]
        classes = table.groupby("split")["label"].agg(["sum", "count"])
        one_class = classes[(classes["sum"] == 0) | (classes["sum"] == classes["count"])]
        both = len(classes) == 2 and one_class.empty
        first, last = built.partitions
        return dg.MaterializeResult(
            data_version=dg.DataVersion(built.version),
            metadata=rows(
                len(table),
                positives=int(table["label"].sum()),
                held_out=int((table["split"] == "holdout").sum()),
                events_lacking=built.events_lacking,
                unknown_values=float(table[list(built.feature_names)].isna().to_numpy().mean()),
                version=built.version,
                as_of=dg.MetadataValue.timestamp(built.as_of),
                partitions=f"{first} to {last}",
                features=list(built.feature_names),
                preview=preview(table.drop(columns=list(built.texts))),
            ),
            check_results=[
                check_result(late == 0, "labels_were_known", {"late": late}),
                check_result(leaking.empty, "features_know_no_future",
                             {"checked": len(table), "leaking": len(leaking),
                              "first": list(leaking.head(5))}),
                check_result(both, "both_classes_present",
                             {f"{split}_positives": int(row["sum"])
                              for split, row in classes.iterrows()}),
            ],
        )

    return training_set
