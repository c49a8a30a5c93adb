"""The file of the event log: its tables, and what may go wrong with it.

SQLite in WAL mode. What was committed survives `kill -9` of any process; a power cut may lose
the last commits (`synchronous=NORMAL`), unless each is on disk before it counts (`FULL`).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from shutil import disk_usage

from ml_assets.core.errors import LogUnavailable
from ml_assets.core.settings import Ack
from ml_assets.core.storage.files import identity, make_private
from ml_assets.core.storage.marker import note, require_new
from ml_assets.core.storage.sqlite import SqliteDatabase, open_file, use_wal
from ml_assets.ingest.log import positions
from ml_assets.ingest.log.storage.log_storage import LogStorage
from ml_assets.ingest.log.storage.patience import Patience

SCHEMA = """
create table if not exists predictions (
    prediction_id  text primary key,  -- `served.prediction_id` of system and event
    system         text not null,
    event_id       text not null,
    event_timestamp integer not null,  -- microseconds since 1970, UTC
    accepted_at    integer not null,
    request        text not null,      -- the client's JSON object, as it came
    features_as_of integer not null,
    features       blob not null,      -- float32, little endian, in the order of feature_names
    feature_names  text not null,      -- one of feature_lists; in older rows a JSON list
    model_version  integer not null,
    score          real not null,
    decision       integer not null,   -- as `served.stored_label` has it
    degraded       integer not null
);
create table if not exists feature_lists (
    list_id text primary key,
    names   text not null              -- JSON list
) without rowid;
create table if not exists told (
    told_id        text primary key,  -- `told.told_id` of system, stream and event
    system         text not null,
    stream         text not null,
    event_id       text not null,
    event_timestamp integer not null,
    accepted_at    integer not null,
    request        text not null,      -- the client's JSON object, as it came
    seq            integer not null    -- its position, see `positions`
);
create index if not exists told_by_day on told (system, stream, accepted_at);
create unique index if not exists told_by_seq on told (seq);
create index if not exists predictions_by_day on predictions (system, accepted_at);
create table if not exists feedback (
    feedback_id   integer primary key,
    prediction_id text not null references predictions (prediction_id),
    system        text not null,
    label         integer not null,    -- as `served.stored_label` has it
    source        text not null,       -- who says so
    received_at   integer not null
);
create index if not exists feedback_by_day on feedback (system, received_at);
create index if not exists feedback_by_prediction on feedback (prediction_id, source);
create index if not exists feedback_by_arrival on feedback (prediction_id);
create table if not exists shadow_scores (
    prediction_id text not null references predictions (prediction_id),
    model_version integer not null,    -- a version that answered nobody
    score         real not null,
    scored_at     integer not null,
    primary key (prediction_id, model_version)
) without rowid;
create index if not exists feedback_by_source on feedback (system, source, received_at);
create trigger if not exists feedback_stays before update on feedback
begin select raise(abort, 'feedback is append-only'); end;
create trigger if not exists feedback_remains before delete on feedback
begin select raise(abort, 'feedback is append-only'); end;
create table if not exists probe (id integer primary key, at integer not null);
"""
ADDED = {
    ("predictions", "role"):
        "text not null default 'champion' check (role in ('champion', 'challenger'))",
    ("predictions", "propensity"):
        "real not null default 1 check (propensity > 0 and propensity <= 1)",
    ("predictions", "state_seq"): "integer",  # the position that the features were read at
    ("predictions", "seq"): "integer",        # its own position; see `positions`
    ("predictions", "counts"): "blob",        # what it counts in the online state, packed
    ("predictions", "outputs"): "blob",  # float64, little endian; null if the score is all
    ("predictions", "audit"): "real",    # how probable it was that it is audited; null: it is not
    ("shadow_scores", "outputs"): "blob",
    ("loads", "counts"): "blob",
    ("told", "counts"): "blob",  # as of predictions
}
"""Columns that came later. Of earlier predictions the defaults are true: the champion answered
everything, nobody knows the positions, what they count is in the request, and the score was all
that a model said."""

CACHE_KB = 65_536
"""Pages that a connection keeps: with SQLite's 2 MB each index is read from the file again."""
LEAST_ROOM = 1 << 20
"""Bytes on the disk, of which a batch may take half."""
SYNCHRONOUS: dict[Ack, str] = {"process": "normal", "disk": "full"}


class LogFile(LogStorage):
    """The log in a file.

    What is written after the file was deleted or replaced could not be found again, and is refused.
    """

    connection: SqliteDatabase

    def __init__(self, path: Path, *, patience: Patience, ack: Ack) -> None:
        """Open `path`, creating it if it is missing; other writers are waited for."""
        super().__init__(path, patience)
        self.path = path
        patience_s = patience.left_ms / 1000
        try:
            require_new(path)
            make_private(path)
            self.connection = open_file(path, timeout=patience_s, check_same_thread=False)
            try:
                self._prepare(patience_s, ack)
            except sqlite3.Error as error:
                raise self._failure("open", error) from error
            note(path)
            self._opened = identity(path)
        except LogUnavailable:
            raise
        except (sqlite3.Error, OSError) as error:
            raise LogUnavailable(f"cannot open the event log {path}: {error}") from error

    def check(self) -> None:
        """Prove by a write that something can be logged, and that there is room for much more: so
        little often fits into pages that the file has already.
        """
        super().check()
        free = disk_usage(self.path.parent).free
        if free < LEAST_ROOM:
            raise LogUnavailable(f"cannot write the event log {self.path}: its disk is full, "
                                 f"{free:,} bytes are left; make room, and it goes on by itself")

    def _prepare(self, patience_s: float, ack: Ack) -> None:
        use_wal(self.connection, patience_s)
        self.connection.execute(f"pragma synchronous={SYNCHRONOUS[ack]}")
        self.connection.execute("pragma foreign_keys=on")
        self.connection.execute(f"pragma cache_size=-{CACHE_KB}")
        # In one transaction, so that processes which open a new file at once queue up.
        self.connection.executescript(f"begin immediate; {SCHEMA} {positions.SCHEMA} commit;")
        self._add_columns()
        self.connection.execute(positions.UNCOUNTED)

    def _require_same(self) -> None:
        if (found := identity(self.path)) != self._opened:
            happened = "was replaced" if found else "is missing: it was deleted"
            raise LogUnavailable(
                f"cannot write the event log {self.path}: it {happened} while it was open"
            )

    def _add_columns(self) -> None:
        if not self._lacking():
            return
        self.connection.execute("begin immediate")
        lacking = self._lacking()  # again: another process may have been here first
        for table, column in lacking:
            self.connection.execute(
                f"alter table {table} add column {column} {ADDED[table, column]}")
        self.connection.execute(positions.INDEX)
        if ("predictions", "seq") in lacking:
            self.connection.execute(positions.BEFORE)
        self.connection.execute("commit")

    def _lacking(self) -> list[tuple[str, str]]:
        there = {(table, name) for table in {table for table, _ in ADDED}
                 for _, name, *_ in self.connection.execute(f"pragma table_info({table})")}
        return [each for each in ADDED if each not in there]
