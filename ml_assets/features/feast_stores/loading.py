"""From the offline store into ours: `feast materialize` for plain and windowed views.

    batch_engine:
      type: ml_assets.features.feast_stores.loading.PackedComputeEngine

Rows go from Arrow into the store without protobuf. For a windowed view they are the raw events
of its source, which count once however often they are loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import click
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore
from feast.infra.common.materialization_job import (
    MaterializationJobStatus,
    MaterializationTask,
)
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel

from ml_assets.core.errors import DeclarationError, unknown
from ml_assets.features.engine.columns import instants, key_column
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.feast_stores.clocks import clock_of
from ml_assets.features.feast_stores.declared import view_of
from ml_assets.features.feast_stores.feast_values import encoded, instant_of, micros
from ml_assets.features.feast_stores.gaps import gaps_before, warning_of
from ml_assets.features.feast_stores.online import PackedOnlineStore
from ml_assets.features.feast_stores.retrieval import LakeRetrievalJob
from ml_assets.features.online_store.backend import Backend
from ml_assets.features.online_store.counting import apply_rows, put_rows
from ml_assets.features.online_store.following.lake_stream import filed_by
from ml_assets.features.online_store.following.portions import portions
from ml_assets.features.online_store.redefining import before, pending, settle
from ml_assets.features.online_store.versions import PlainView

__all__ = ["PackedComputeEngine", "PackedComputeEngineConfig", "apply_rows", "push"]


_logger = logging.getLogger(__name__)


class PackedComputeEngineConfig(FeastConfigBaseModel):
    """Nothing to say but the type."""

    type: str = "ml_assets.features.feast_stores.loading.PackedComputeEngine"


class PackedComputeEngine(LocalComputeEngine):
    """Feast's local engine, which our online stores need for windowed views.

    What Feast's own can do beyond (transformations, views of views) is left to it.

    warnings: for each view what is wrong with its latest load, if anything is
    """

    def __init__(self, *, type: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.warnings: dict[str, str] = {}

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        table: Any = task.feature_view
        try:
            task = self._from_the_start(task)
            if _is_feasts_own(table):
                job = self._materialize_as_feast(registry, task, **kwargs)
                if job.status() == MaterializationJobStatus.SUCCEEDED:
                    self._settle(table)
                return job
            if table.online:
                self._load(table, task.start_time, task.end_time)
                self._settle(table)
        except Exception as error:
            # Feast raises what the job holds.
            return LocalMaterializationJob(
                f"{table.name}-{task.end_time}", MaterializationJobStatus.ERROR, error
            )
        return LocalMaterializationJob(
            f"{table.name}-{task.end_time}", MaterializationJobStatus.SUCCEEDED
        )

    def _materialize_as_feast(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        """Feast takes each entity's latest row: the present one first, then those ahead of now."""
        ours = isinstance(self.online_store, PackedOnlineStore)
        now = clock_of(self.repo_config, task.feature_view).now() if ours else task.end_time
        if not task.feature_view.offline and task.start_time < now < task.end_time:
            job = super()._materialize_one(registry, replace(task, end_time=now), **kwargs)
            if job.error() is not None:
                return job
        return super()._materialize_one(registry, task, **kwargs)

    def _from_the_start(self, task: MaterializationTask) -> MaterializationTask:
        """The task, but for a view that must be loaded again: from where it had been loaded."""
        store, table = self.online_store, task.feature_view
        if not isinstance(store, PackedOnlineStore) or not table.online:
            return task
        view = view_of(table)
        note = pending(store.backend(self.repo_config), view)
        if note is None or note.since is None:
            return task
        start = min(task.start_time, instant_of(note.since))
        end = max(task.end_time, instant_of(note.until))
        if start < task.start_time:
            _logger.warning("feature view %r was redefined: loading it again, from %s on",
                            view.name, start)
        return replace(task, start_time=start, end_time=end)

    def _settle(self, table: Any) -> None:
        if isinstance(self.online_store, PackedOnlineStore) and table.online:
            settle(self.online_store.backend(self.repo_config), view_of(table))

    def _load(self, table: Any, start: datetime, end: datetime) -> None:
        store = self.online_store
        if not isinstance(store, PackedOnlineStore):
            raise DeclarationError(
                f"batch_engine is {type(self).__name__} and online_store {type(store).__name__}; "
                "expected PackedLmdbOnlineStore or PackedRedisOnlineStore, or another engine"
            )
        view, backend = view_of(table), store.backend(self.repo_config)
        if isinstance(view, WindowedView):
            self._load_events(table, view, backend, start, end)
            self._warn_of_gaps(table, view, start, end)
            return
        batch = table.batch_source
        columns = [each.name for each in view.columns]
        timestamp, created = batch.timestamp_field, batch.created_timestamp_column or ""
        rows = self._pull(table, view.keys, columns, timestamp, created, start, end)
        now = micros(clock_of(self.repo_config, table).now())
        _put(table, view, backend, _within(rows, timestamp, start, end), now)

    def _load_events(
        self, table: Any, view: WindowedView, backend: Backend, start: datetime, end: datetime
    ) -> None:
        """Into the event log what the lake files in [start, end), as the platform's own loads do:
        a position then stands for all rows between two instants. Elsewhere what happened then.
        """
        store = self.online_store
        assert isinstance(store, PackedOnlineStore)
        for projection in store.projections(self.repo_config, [table]):
            [followed] = projection.views
            projection.catch_up()
            for portion in portions(view, self._events(table, view, filed_by(view), start, end)):
                projection.load(followed, portion)
            return
        apply_rows(view, backend, self._events(table, view, view.timestamp, start, end))

    def _events(
        self, table: Any, view: WindowedView, filed: str, start: datetime, end: datetime
    ) -> pa.Table:
        """Those whose column `filed` lies in [start, end)."""
        columns = [view.event_id, view.timestamp, *(slot.column for slot in view.slots)]
        others = [name for name in columns if name != filed]
        created = view.created if filed != view.created else ""
        rows = self._pull(table, view.keys, others, filed, created, start, end)
        return _within(rows, filed, start, end)

    def _warn_of_gaps(
        self, table: Any, view: WindowedView, start: datetime, end: datetime
    ) -> None:
        self.warnings.pop(view.name, None)
        loaded = [*table.materialization_intervals, (start, end)]
        gaps = [
            (first, last)
            for first, last in gaps_before(view, clock_of(self.repo_config, table).now(), loaded)
            if self._has_rows(table, view, first, last)
        ]
        if gaps:
            self.warnings[view.name] = warning_of(view.name, gaps)
            click.echo(f"warning: {self.warnings[view.name]}", err=True)

    def _has_rows(self, table: Any, view: WindowedView, start: datetime, end: datetime) -> bool:
        """Whether somebody has a row in [start, end); reads as many as it must to tell."""
        job = self._retrieve(
            table, view.keys, [view.timestamp], view.timestamp, "", start,
            end - timedelta(microseconds=1),
        )
        mapped = table.batch_source.field_mapping
        parts = (map(pa.Table.from_batches, ([each] for each in job.to_record_batches()))
                 if isinstance(job, LakeRetrievalJob) else [job.to_arrow()])
        for part in parts:
            named = part.rename_columns([mapped.get(name, name) for name in part.schema.names])
            if any(key_column(named, view.keys, f"feature view {view.name!r}")):
                return True
        return False

    def _pull(
        self, table: Any, keys: Sequence[str], columns: Sequence[str], timestamp: str,
        created: str, start: datetime, end: datetime,
    ) -> pa.Table:
        """The rows of the source, its columns called as the view calls them."""
        rows = self._retrieve(table, keys, columns, timestamp, created, start, end).to_arrow()
        return rows.rename_columns([
            table.batch_source.field_mapping.get(name, name) for name in rows.column_names
        ])

    def _retrieve(
        self, table: Any, keys: Sequence[str], columns: Sequence[str], timestamp: str,
        created: str, start: datetime, end: datetime,
    ) -> RetrievalJob:
        """The same, its columns called as in the source."""
        batch = table.batch_source
        there = {name: name_there for name_there, name in batch.field_mapping.items()}
        return self.offline_store.pull_all_from_table_or_query(
            config=self.repo_config, data_source=batch,
            join_key_columns=[there.get(name, name) for name in keys],
            feature_name_columns=list(dict.fromkeys(there.get(name, name) for name in columns)),
            timestamp_field=there.get(timestamp, timestamp),
            created_timestamp_column=there.get(created, created) or None,
            start_date=start, end_date=end,
        )


def push(store: FeatureStore, push_source_name: str, df: pd.DataFrame) -> dict[str, int]:
    """Count raw events for every windowed view of a push source; how many were new for each.

    df: at least the views' keys, timestamps, event ids and the columns of their aggregates.
    (`FeatureStore.push` expects computed features.) Raises UnknownName where no windowed view
    reads this source.
    """
    online = store._get_provider().online_store
    assert isinstance(online, PackedOnlineStore), "push needs one of our online stores"
    sources = {
        table.name: table.stream_source.name
        for table in store.list_stream_feature_views()
        if table.aggregations and table.stream_source is not None
    }
    if push_source_name not in sources.values():
        raise unknown("push source with windowed views", push_source_name, sources.values())
    rows, backend = pa.Table.from_pandas(df, preserve_index=False), online.backend(store.config)
    added = {}
    for name, source in sources.items():
        if source == push_source_name:
            view = view_of(store.get_stream_feature_view(name))
            assert isinstance(view, WindowedView)
            following = online.projections(store.config, [store.get_stream_feature_view(name)])
            added[name] = (sum(each.push(rows) for each in following) if following
                           else apply_rows(view, backend, rows))
            until_loaded = before(backend, view)
            if until_loaded is not None:
                apply_rows(until_loaded[1], backend, rows, view_id=until_loaded[0])
    return added


def _put(table: Any, view: PlainView, backend: Backend, rows: pa.Table, now: int) -> None:
    batch = table.batch_source
    dtypes = {field.name: field.dtype for field in table.features}
    put_rows(
        view, backend, rows, timestamp=batch.timestamp_field,
        created=batch.created_timestamp_column or "",
        encode=partial(encoded, view.name, dtypes), now=now,
    )


def _within(rows: pa.Table, timestamp: str, start: datetime, end: datetime) -> pa.Table:
    """Those in [start, end): some offline stores include the end, as Feast's own do."""
    rows = rows.filter(pc.is_valid(rows[timestamp]))
    at = instants(rows[timestamp], timestamp, "materialize")
    inside: np.ndarray[Any, Any] = (at >= micros(start)) & (at < micros(end))
    return rows if inside.all() else rows.filter(pa.array(inside))


def _is_feasts_own(table: Any) -> bool:
    """Whether what is stored is more than the source's rows, or is written elsewhere too."""
    if getattr(table, "feature_transformation", None) is not None:
        return True
    if getattr(table, "aggregations", None):
        return False
    return bool(table.source_views or table.offline)
