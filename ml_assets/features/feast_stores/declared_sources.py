"""Feast's objects read as what this store works with: plans, aggregates, places of files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from feast import FeatureView, FileSource
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID
from feast.repo_config import RepoConfig

from ml_assets.core.errors import DeclarationError
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.feast_stores.declared import windowed_view_of
from ml_assets.features.history.plan import Output, ViewPlan
from ml_assets.features.history.relations.kinds import arrow_type_of
from ml_assets.features.history.relations.source import Source, parquet_files
from ml_assets.features.history.spine import INSTANT


def plan_view(
    config: RepoConfig, view: FeatureView, feature_refs: Sequence[str], full_feature_names: bool
) -> ViewPlan:
    """What `feature_refs` ask of `view`.

    Raises DeclarationError for a source other than Parquet files, a feature that the view
    lacks, and aggregates that cannot be computed.
    """
    batch = view.batch_source
    if batch is None:
        raise DeclarationError(f"feature view {view.name!r} has no batch source to read")
    source = locate(config, batch, view.name)
    fields = {field.name: field for field in [*view.entity_columns, *view.features]}
    columns = [each.name for each in view.entity_columns if each.name != DUMMY_ENTITY_ID]
    renamed = view.projection.join_key_map
    windowed = windowed_view_of(view)
    prefix = f"{view.projection.name_to_use()}:"  # type: ignore[no-untyped-call]  # Feast's
    owner = view.projection.name_alias or view.name
    wanted = [ref.removeprefix(prefix) for ref in feature_refs if ref.startswith(prefix)]
    for feature in wanted:
        if feature not in fields:
            raise DeclarationError(f"feature view {view.name!r} declares no feature {feature!r}")
    timestamp = windowed.timestamp if windowed else batch.timestamp_field
    created = batch.created_timestamp_column or ""
    return ViewPlan(
        name=view.name, source=source,
        spine_keys=tuple(renamed.get(each, each) for each in columns), keys=tuple(columns),
        timestamp=timestamp, created=created,
        ttl=(view.ttl or timedelta()) // timedelta(microseconds=1),
        outputs=tuple(
            Output(
                feature, f"{owner}__{feature}" if full_feature_names else feature,
                arrow_type_of(fields[feature].dtype),
            )
            for feature in wanted
        ),
        declared=_declared(view, source, timestamp, created, windowed), windowed=windowed,
    )


def locate(config: RepoConfig, source: DataSource, owner: str = "") -> Source:
    """Where the files of a source lie, see `path_of`.

    Raises DeclarationError where the source is not of Parquet files.
    """
    if not isinstance(source, FileSource):
        raise DeclarationError(
            f"feature view {owner or source.name!r} reads a {type(source).__name__}; "
            f"expected a FileSource"
        )
    if source.file_format is not None and not isinstance(source.file_format, ParquetFormat):
        raise DeclarationError(
            f"source {source.name!r} is in {type(source.file_format).__name__}; expected Parquet"
        )
    path = path_of(config, source.path)
    names = tuple((new, old) for old, new in source.field_mapping.items())
    writer = source.tags.get("dagster/asset_key", "")
    return Source(source.name, path, parquet_files(path), names, writer)


def path_of(config: RepoConfig, path: str) -> Path:
    """Where `path` lies: itself if it is absolute, else in the repository, as in Feast.

    With a lake, what is not in the repository lies in the lake.
    """
    path = path.removeprefix("file://")
    here, lake = repository_of(config) / path, lake_of(config)
    # A pattern is no name: what it means must be there.
    return here if lake is None or here.exists() or parquet_files(here) else lake / path


def repository_of(config: RepoConfig) -> Path:
    """The folder of `feature_store.yaml`."""
    return Path(config.repo_path or ".").absolute()


def lake_of(config: RepoConfig) -> Path | None:
    """The folder of tables, if there is one; a relative one starts at `feature_store.yaml`."""
    lake: str | None = config.offline_store.lake
    return None if lake is None else repository_of(config) / lake


def _declared(
    view: FeatureView, source: Source, timestamp: str, created: str, windowed: WindowedView | None
) -> pa.Schema:
    """The columns of the source that the declaration tells, for when there is no file yet."""
    fields = [*view.entity_columns, *([] if windowed else view.features)]
    kinds = {each.name: arrow_type_of(each.dtype) for each in fields}
    if windowed:
        kinds[windowed.event_id] = pa.string()
        # Numbers can be summed as well as hashed.
        kinds |= {slot.column: pa.int64() for slot in windowed.slots}
    kinds |= {each: INSTANT for each in (timestamp, created) if each}
    return pa.schema([(source.column(name), kind) for name, kind in kinds.items()])
