"""What Feast hands out for a query: a job that runs when its rows are asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.saved_dataset import SavedDatasetStorage

from ml_assets.core.storage.files import replacing
from ml_assets.features.history.relations.duck import Connection, Limits, batches_of, opened
from ml_assets.features.history.spine import Spine

BATCH = 2**17
"""Rows of a record batch, and of a row group, that is written."""

Tables: TypeAlias = Generator[pa.Table, None, None]


class LakeRetrievalJob(RetrievalJob):
    """Rows that DuckDB finds; beyond Feast's jobs they can be read and written as a stream."""

    def __init__(self, limits: Limits, place: Callable[[SavedDatasetStorage], Path]) -> None:
        """`place` says where a saved data set lies."""
        self.limits, self._place = limits, place

    def tables(self, con: Connection, scratch: Path, size: int) -> Tables:
        """The rows without on-demand features: at least one table, in order.

        scratch: a folder that lasts as long; size: how many rows a table should have
        """
        raise NotImplementedError

    @property
    def full_feature_names(self) -> bool:
        return False

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return []

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return None

    def to_record_batches(self, size: int = BATCH) -> Iterator[pa.RecordBatch]:
        """The rows in order, with on-demand features, at most `size` at a time.

        Memory stays near the store's `memory_limit` however many rows there are. An answer
        without rows is one batch without rows.
        """
        with closing(self._finished(size)) as tables:
            for table in tables:
                batches = table.to_batches(max_chunksize=size)
                yield from batches or [pa.RecordBatch.from_pylist([], schema=table.schema)]

    def to_parquet(self, path: Path | str) -> None:
        """Write the rows to one file as a stream; it is there whole or not at all."""
        with closing(self._finished(BATCH)) as tables, replacing(Path(path)) as temporary:
            first = next(tables)
            with pq.ParquetWriter(temporary, first.schema, compression="zstd") as writer:
                writer.write_table(first, BATCH)
                for table in tables:
                    writer.write_table(table, BATCH)

    def persist(
        self, storage: SavedDatasetStorage, allow_overwrite: bool = False,
        timeout: int | None = None,
    ) -> None:
        """Write the rows where `storage` says; a path without `.parquet` is a folder.

        Raises Feast's SavedDatasetLocationAlreadyExists where something is there already.
        """
        path = self._place(storage)
        target = path if path.suffix == ".parquet" else path / "rows.parquet"
        there = [path] if path.is_file() else sorted(path.glob("*.parquet"))
        if there and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        self.to_parquet(target)
        for each in there:
            if each != target:
                each.unlink()

    @contextmanager
    def _engine(self) -> Iterator[tuple[Connection, Path]]:
        self.limits.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.limits.scratch, prefix="lake-job-") as folder:
            scratch = Path(folder)
            with opened(replace(self.limits, scratch=scratch / "duckdb")) as con:
                yield con, scratch

    def _tables(self, size: int) -> Tables:
        with self._engine() as (con, scratch):
            yield from self.tables(con, scratch, size)

    def _finished(self, size: int) -> Tables:
        with closing(self._tables(size)) as tables:
            for table in tables:
                yield _Part(self, table).to_arrow() if self.on_demand_feature_views else table

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with closing(self._tables(BATCH)) as tables:
            return pa.concat_tables(tables)

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        rows: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return rows


class HistoricalJob(LakeRetrievalJob):
    """A spine with the features of some views."""

    def __init__(
        self, limits: Limits, place: Callable[[SavedDatasetStorage], Path], *,
        spine: Callable[[Connection, Path], Spine],
        join: Callable[[Connection, Path, Spine, int], Iterator[pa.Table]],
        feature_refs: Sequence[str], on_demand: Sequence[OnDemandFeatureView],
        full_feature_names: bool,
    ) -> None:
        super().__init__(limits, place)
        self._spine, self._join = spine, join
        self._feature_refs = list(feature_refs)
        self._on_demand, self._full_feature_names = list(on_demand), full_feature_names

    def tables(self, con: Connection, scratch: Path, size: int) -> Tables:
        yield from self._join(con, scratch, self._spine(con, scratch), size)

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand

    @cached_property
    def metadata(self) -> RetrievalMetadata:
        with self._engine() as (con, scratch):
            spine = self._spine(con, scratch)
            return RetrievalMetadata(
                features=self._feature_refs,
                keys=[name for name in spine.schema.names if name != spine.timestamp],
                min_event_timestamp=_instant(spine.low), max_event_timestamp=_instant(spine.high),
            )


class QueryJob(LakeRetrievalJob):
    """What one SQL query gives."""

    def __init__(
        self, limits: Limits, place: Callable[[SavedDatasetStorage], Path],
        sql: Callable[[Connection], str],
    ) -> None:
        super().__init__(limits, place)
        self._sql = sql

    def tables(self, con: Connection, scratch: Path, size: int) -> Tables:
        reader = batches_of(con, self._sql(con), size)
        empty = True
        for batch in reader:
            empty = False
            yield pa.Table.from_batches([batch])
        if empty:
            yield reader.schema.empty_table()


class _Part(RetrievalJob):
    """Some rows of a job, so that Feast adds the on-demand features to them alone."""

    def __init__(self, job: LakeRetrievalJob, rows: pa.Table) -> None:
        self._job, self._rows = job, rows

    @property
    def full_feature_names(self) -> bool:
        return self._job.full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._job.on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._job.metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._rows


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        microseconds=micros
    )
