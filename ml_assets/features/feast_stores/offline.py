"""Feast's offline store over the lake, named by class path in `feature_store.yaml`.

Plain feature views keep Feast's contract; views with aggregations, which Feast registers
but cannot compute, are computed by the same engine as online. All in UTC.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import FeatureView, FileSource
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.saved_dataset import SavedDatasetStorage
from feast.utils import compute_non_entity_date_range

from ml_assets.core.errors import DeclarationError, InvalidRequest
from ml_assets.core.runtime.workers import workers_at
from ml_assets.features.feast_stores.declared_sources import (
    lake_of,
    locate,
    path_of,
    plan_view,
    repository_of,
)
from ml_assets.features.feast_stores.retrieval import HistoricalJob, QueryJob
from ml_assets.features.history.join import joined
from ml_assets.features.history.pulling import all_sql, latest_sql
from ml_assets.features.history.relations.duck import Connection, Limits, bytes_of, half_of_memory
from ml_assets.features.history.relations.source import Source
from ml_assets.features.history.relations.writing import append, log
from ml_assets.features.history.spine import Spine, spine_of_all, spine_of_rows, spine_of_sql


class LakeOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """`offline_store:` of `feature_store.yaml`.

    lake: a folder of tables, absolute or relative to `feature_store.yaml`. Paths of sources
        start at the repository, as in Feast; what is not there is looked for in the lake
    memory_limit: what one job may work in, such as "4GB"; half of the machine's if not given.
        An answer asked for as one table comes on top; as a stream it does not
    threads: of DuckDB; as many as there are cores if not given
    temp_directory: the folder for what does not fit; the system's if not given
    ray: the head of the Ray cluster that computes features; its workers must see the sources and
        `temp_directory` under the same paths
    """

    type: str = "ml_assets.features.feast_stores.offline.LakeOfflineStore"
    lake: str | None = None
    memory_limit: str | None = None
    threads: int | None = None
    temp_directory: str | None = None
    ray: str = ""


class LakeOfflineStore(DuckDBOfflineStore):
    """Point-in-time joins over Parquet files of the lake.

    Every row of the spine is kept, in order, with all its columns; instants that name no
    zone are in UTC; feature values keep the types of the files.
    """

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
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """The spine `entity_df` with the features; see Feast's own documentation.

        entity_df: rows; or SQL for them, run by DuckDB; or the path of a Parquet file; or
            None for every entity that has a row in [start_date, end_date], as of `end_date`
        filter_by_created_timestamp: rows that were created after the instant do not count
        """
        limits = limits_of(config)
        plans = [
            plan for view in feature_views
            if (plan := plan_view(config, view, feature_refs, full_feature_names)).outputs
        ]
        keys = list(dict.fromkeys(key for plan in plans for key in plan.spine_keys))
        # Half of what a job may use is DuckDB's.
        memory = limits.memory // 2

        def spine(con: Connection, scratch: Path) -> Spine:
            if isinstance(entity_df, pd.DataFrame):
                return spine_of_rows(con, entity_df, keys)
            if isinstance(entity_df, str):
                return spine_of_sql(con, entity_df, keys, scratch=scratch, memory=memory,
                                    search=limits.search)
            if entity_df is not None:
                raise InvalidRequest(f"the spine is a {type(entity_df).__name__}; expected a "
                                     f"DataFrame, SQL, or the path of a Parquet file")
            start, end = compute_non_entity_date_range(
                feature_views, start_date=start_date, end_date=end_date
            )
            return spine_of_all(con, plans, start, end, scratch=scratch, memory=memory)

        def join(con: Connection, scratch: Path, spine: Spine, size: int) -> Iterator[pa.Table]:
            return joined(con, spine, plans, known=filter_by_created_timestamp, scratch=scratch,
                          memory=memory, size=size, workers=workers_at(config.offline_store.ray))

        return HistoricalJob(
            limits, _place(config), spine=spine, join=join, feature_refs=feature_refs,
            on_demand=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            full_feature_names=full_feature_names,
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Each entity's latest row with a timestamp in [start_date, end_date].

        Without `feature_name_columns` all columns, as Feast's transformations want them.
        """
        created = created_timestamp_column or ""
        columns = _columns(join_key_columns, feature_name_columns, timestamp_field, created)
        return QueryJob(limits_of(config), _place(config), lambda con: latest_sql(
            con, _unmapped(config, data_source), join_key_columns, columns, timestamp_field,
            created, start_date, end_date,
        ))

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """The rows with a timestamp in [start_date, end_date], in the order of the files.

        Without `feature_name_columns` all columns, as Feast's transformations want them.
        """
        columns = _columns(
            join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column or ""
        )
        return QueryJob(limits_of(config), _place(config), lambda con: all_sql(
            con, _unmapped(config, data_source), columns, timestamp_field, start_date, end_date,
        ))

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Add rows to the source of a view; raises ContractViolation where they do not fit."""
        batch = feature_view.batch_source
        if batch is None:
            raise DeclarationError(f"feature view {feature_view.name!r} has no batch source")
        append(locate(config, batch, feature_view.name), table)
        if progress:
            progress(table.num_rows)

    @staticmethod
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,
        logging_config: LoggingConfig,
        registry: BaseRegistry,
    ) -> None:
        """Add logged features to the folder that the service's logging names."""
        destination = logging_config.destination
        if not isinstance(destination, FileLoggingDestination):
            raise DeclarationError(
                f"features are logged to a {type(destination).__name__}; "
                f"expected a FileLoggingDestination"
            )
        log(data, path_of(config, destination.path), destination.partition_by or [])

    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """Nothing to check yet: a table of the lake may come after its declaration."""

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        """The columns of a source with Arrow's names of their types. Raises NotReady."""
        return locate(config, data_source).columns()


def limits_of(config: RepoConfig) -> Limits:
    """What a job of the store may use."""
    said = config.offline_store
    return Limits(
        memory=bytes_of(said.memory_limit) if said.memory_limit else half_of_memory(),
        threads=said.threads,
        scratch=Path(said.temp_directory or tempfile.gettempdir()),
        search=lake_of(config) or repository_of(config),
    )


def _columns(
    keys: Sequence[str], features: Sequence[str], timestamp: str, created: str
) -> list[str]:
    """Those to pull; none stands for all."""
    return [*keys, *features, timestamp, *filter(None, [created])] if features else []


def _place(config: RepoConfig) -> Callable[[SavedDatasetStorage], Path]:
    def place(storage: SavedDatasetStorage) -> Path:
        source = storage.to_data_source()
        assert isinstance(source, FileSource)
        return path_of(config, source.path)

    return place


def _unmapped(config: RepoConfig, source: DataSource) -> Source:
    """A source whose columns are called as in the files: Feast maps their names afterwards."""
    found = locate(config, source)
    return replace(found, names=())
