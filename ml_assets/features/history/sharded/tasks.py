"""What a worker does for a view: read some files, or answer for some entities.

Both run the SQL and the numpy that one process alone would run. Pieces of Parquet pass between
them, each written whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from ml_assets.core.storage.files import replacing
from ml_assets.core.storage.sql import file_of
from ml_assets.features.history.lookup import Asked, Lookup
from ml_assets.features.history.pieces import answers
from ml_assets.features.history.relations.duck import Connection, Limits, opened, table_of
from ml_assets.features.history.relations.refusing import explained
from ml_assets.features.history.relations.source import FILE


@dataclass(frozen=True, kw_only=True)
class ShardedView:
    """What all workers are told of a view.

    folder: one that all of them share, with the questions in it
    shards: into how many parts its entities are divided
    memory: bytes for all that run on one machine
    """

    lookup: Lookup
    folder: Path
    shards: int
    memory: int

    @property
    def entities(self) -> Path:
        """A database with the table that `Lookup.entities` names; Parquet lacks types that keys may
        have.
        """
        return self.folder / "entities.duckdb"

    @property
    def asked(self) -> Path:
        """What the lookup's SQL of that name gives, by `shard`, for questions of an entity."""
        return self.folder / "asked.parquet"

    def shard_of(self, relation: str) -> str:
        """SQL for the rows of a relation with a `code`, in the order of their `shard`.

        Side by side, so that whoever wants one shard skips the row groups of others.
        """
        return (f"select *, (code % {self.shards})::integer as shard from {relation} "
                "where code >= 0 order by shard")


def read_files(view: ShardedView, files: range) -> Path:
    """Write what some of the source's files have of the entities, by shard.

    files: which, by their number; the rows keep their place among all files
    """
    path = view.folder / f"rows_{files.start}.parquet"
    with _worker(view) as con:
        con.execute(f"attach {file_of(view.entities)} as shared (read_only)")
        con.execute(f"create table {view.lookup.entities} as from shared.entities")
        rows = f"{view.lookup.rows} and s.{FILE} between {files.start} and {files[-1]}"
        with replacing(path) as temporary:
            con.execute(f"copy ({view.shard_of(f'({rows})')}) to {file_of(temporary)} "
                        "(format parquet, compression lz4)")
    return path


def answer_shard(view: ShardedView, shard: tuple[int, tuple[Path, ...]]) -> Path:
    """Write what the view answers for the entities of one shard.

    shard: its number, and what `read_files` has written
    """
    number, read = shard
    path = view.folder / f"answers_{number}.parquet"
    mine = f"where shard = {number}"
    with _worker(view) as con:
        con.execute(f"create table rows as select * exclude (shard) from read_parquet("
                    f"[{', '.join(map(file_of, read))}]) {mine}")
        con.execute("create table asked as select * exclude (shard) from read_parquet("
                    f"{file_of(view.asked)}) {mine}")
        # First nothing, for the schema.
        nothing = view.lookup.answer(
            table_of(con, "from rows limit 0"), Asked.of(table_of(con, "from asked limit 0")))
        with (replacing(path) as temporary,
              pq.ParquetWriter(temporary, nothing.schema, compression="lz4") as writer):
            for found in answers(con, view.lookup, _share(view)):
                writer.write_table(found)
    return path


@contextmanager
def _worker(view: ShardedView) -> Iterator[Connection]:
    """A database of a worker's own; what does not fit waits on its machine's disk."""
    with (
        TemporaryDirectory(prefix="ml_assets-shard-") as folder, explained(),
        opened(Limits(memory=_share(view), threads=1, scratch=Path(folder))) as con,
    ):
        yield con


def _share(view: ShardedView) -> int:
    """Bytes for one worker: a machine runs at most one for each of its cores."""
    return view.memory // (os.cpu_count() or 1)
