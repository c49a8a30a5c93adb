"""Feast's DuckDB offline store, reading the lake.

A seam: the store is named by class path in `feature_store.yaml`, so a faster engine replaces
this class and nothing else. Beyond Feast's own store it resolves paths against the lake
(Feast: against the working directory), keeps the order of the spine (Feast loses it) and
reads instants as UTC (Feast: in the machine's time zone).
"""

from __future__ import annotations

import atexit
import copy
import warnings
from pathlib import Path
from typing import Any

import ibis  # type: ignore[import-untyped]  # comes with Feast, ships no types
import pandas as pd
from feast import FeatureView, FileSource
from feast.data_source import DataSource
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.ibis import IbisRetrievalJob
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig

from ml_assets.core.errors import InvalidRequest

SPINE_ROW = "__spine_row"


class LakeOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """`lake` is a folder, absolute or relative to `feature_store.yaml`."""

    type: str = "ml_assets.features.lake_store.LakeOfflineStore"
    lake: str


class LakeOfflineStore(DuckDBOfflineStore):
    """Point-in-time joins by Feast's own plan, over tables of the lake."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        if not isinstance(entity_df, pd.DataFrame):
            raise InvalidRequest(f"the spine is {entity_df!r:.80}; the lake joins DataFrames only")
        _prepare_engine()
        views = []
        for view in feature_views:
            located = copy.copy(view)
            located.batch_source = _in_lake(config, view.batch_source)
            views.append(located)
        job = DuckDBOfflineStore.get_historical_features(
            config, views, feature_refs, entity_df.assign(**{SPINE_ROW: range(len(entity_df))}),
            registry, project, full_feature_names, filter_by_created_timestamp,
        )
        assert isinstance(job, IbisRetrievalJob)
        job.table = job.table.order_by(SPINE_ROW).drop(SPINE_ROW)
        return job

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig, data_source: DataSource, *columns: Any, **more: Any
    ) -> RetrievalJob:
        _prepare_engine()
        return DuckDBOfflineStore.pull_latest_from_table_or_query(
            config, _in_lake(config, data_source), *columns, **more
        )

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig, data_source: DataSource, *columns: Any, **more: Any
    ) -> RetrievalJob:
        _prepare_engine()
        return DuckDBOfflineStore.pull_all_from_table_or_query(
            config, _in_lake(config, data_source), *columns, **more
        )

    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """Nothing to check yet: a table of the lake may come after its declaration."""

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Any:
        return _in_lake(config, data_source).get_table_column_names_and_types(config)


def _in_lake(config: RepoConfig, source: DataSource | None) -> FileSource:
    """`source` with its path made absolute."""
    assert isinstance(source, FileSource)
    root = Path(config.repo_path or ".") / config.offline_store.lake
    located: FileSource = FileSource.from_proto(source.to_proto())
    located.file_options.uri = str(root / source.path)
    return located


_zone_is_set = False


def _prepare_engine() -> None:
    """Set up ibis' DuckDB: the zone once a process, the warning each time (tests reset it)."""
    global _zone_is_set
    # ibis 12 calls a name that DuckDB 2.0 deprecates.
    warnings.filterwarnings("ignore", message="fetch_arrow_table", category=DeprecationWarning)
    if not _zone_is_set:
        _zone_is_set = True
        ibis.get_backend().raw_sql("set TimeZone = 'UTC'")
        # Where torch is loaded too, DuckDB prints 50 lines on leaks unless let go before exit.
        atexit.register(lambda: setattr(ibis.options, "default_backend", None))
