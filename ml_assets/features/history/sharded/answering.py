"""A view answered by workers: the files are read once, then each worker has its entities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

from ml_assets.core.runtime.workers import WorkerPool
from ml_assets.core.storage.sql import file_of
from ml_assets.features.history.lookup import Lookup
from ml_assets.features.history.pieces import Answering, answered_here
from ml_assets.features.history.relations.duck import Connection
from ml_assets.features.history.sharded.tasks import ShardedView, answer_shard, read_files

FOR_EACH = 2
"""Shards for each worker: entities differ in how busy they are, and a free worker takes another."""


def answering_of(workers: WorkerPool | None, scratch: Path) -> Answering:
    """By these workers; without them by this process.

    scratch: a folder that the workers share, for as long as the answers are read
    """
    if workers is None:
        return answered_here

    def answered(con: Connection, lookup: Lookup, memory: int) -> str:
        if not lookup.source.files:  # then this process's database has an empty table for it
            return answered_here(con, lookup, memory)
        view = ShardedView(lookup=lookup, folder=Path(mkdtemp(prefix="view-", dir=scratch)),
                           shards=FOR_EACH * workers.count, memory=memory)
        con.execute(f"attach {file_of(view.entities)} as shared")
        con.execute(f"create table shared.entities as from {lookup.entities}; detach shared")
        con.execute(f"copy ({view.shard_of('asked')}) to {file_of(view.asked)} (format parquet)")
        some = _some_files(len(lookup.source.files), view.shards)
        read = tuple(workers.map(read_files, view, some))
        shards = ((number, read) for number in range(view.shards))
        found = ", ".join(map(file_of, workers.map(answer_shard, view, shards)))
        return f"from read_parquet([{found}])"

    return answered


def _some_files(files: int, parts: int) -> Iterator[range]:
    """All files by their number, neighbours together, in at most `parts`."""
    parts = min(files, parts)
    for part in range(parts):
        yield range(part * files // parts, (part + 1) * files // parts)
