"""The file of candidates that an API reads: a list of items for each user, one for all others.

A SQLite file that is written once, renamed into its place and never changed. Items have numbers in
it, and a list is two arrays: these numbers, and the items' scores. It is made anew from the lake
by materialising the asset `candidates`, so its loss loses nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import StateDamaged
from ml_assets.core.storage.files import replacing

FORMAT = 1
EVERYBODY = ""
"""Whose list is for users without one: an empty key is no user's."""
CACHED = 256
_SCHEMA = """
create table about (format integer, system text, day text, version integer, items text);
create table lists (user text primary key, items blob not null, scores blob not null)
 without rowid;
"""
_CODES, _SCORES = np.dtype("<u4"), np.dtype("<f8")


@dataclass(frozen=True, kw_only=True)
class CandidateList:
    """Items in an order that holds without a model at hand, the best first.

    items: (K) as columns hold them; scores: (K) by the model that made the list
    """

    items: Sequence[object]
    scores: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.items)


@dataclass(kw_only=True)
class ListWriter:
    """Writes lists one by one; only the items' numbers are held in memory."""

    connection: sqlite3.Connection
    _codes: dict[object, int] = field(default_factory=dict)

    def add(self, user: str, items: Sequence[object], scores: Sequence[float]) -> None:
        """The list of one user, or of EVERYBODY who has none."""
        codes = [self._codes.setdefault(item, len(self._codes)) for item in items]
        self.connection.execute("insert into lists values (?, ?, ?)", (
            user, np.array(codes, _CODES).tobytes(), np.array(scores, _SCORES).tobytes()))

    @property
    def items(self) -> list[object]:
        return list(self._codes)


@contextmanager
def writing_lists(
    path: Path, *, system: str, day: date, version: int | None
) -> Iterator[ListWriter]:
    """Replace the file by the lists that the block adds, at its end, or not at all.

    day: the latest day that the lists know; version: of the model that made them, if there was one
    """
    with (
        replacing(path) as temporary,
        closing(sqlite3.connect(temporary, isolation_level=None)) as connection,
    ):
        connection.execute("pragma journal_mode=off")
        connection.executescript(_SCHEMA)
        connection.execute("begin")
        writer = ListWriter(connection=connection)
        yield writer
        connection.execute("insert into about values (?, ?, ?, ?, ?)", (
            FORMAT, system, day.isoformat(), version, json.dumps(writer.items)))
        connection.execute("commit")


class ListFile:
    """The lists of one file, opened for reading. One call at a time, on whichever thread.

    day, version: see `writing_lists`; items: all that are in a list
    Raises StateDamaged if it cannot be read or is no such file of this system.
    """

    def __init__(self, path: Path, system: str) -> None:
        self._path, self._system = path, system
        with self._naming():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True,
                check_same_thread=False)
            [(written, of, day, version, items)] = self._connection.execute("select * from about")
            if (written, of) != (FORMAT, system):
                raise ValueError(f"it has format {written}, of system {of!r}; expected {FORMAT}, "
                                 f"of {system!r}")
            self.day, self.version = date.fromisoformat(day), version
            self.items: list[object] = json.loads(items)
        self._cached = lru_cache(CACHED)(self._read)

    def of(self, user: str) -> CandidateList | None:
        """The list of a user, or of EVERYBODY who has none; None if there is no such list."""
        return self._cached(user)

    def _read(self, user: str) -> CandidateList | None:
        with self._naming():
            row = self._connection.execute(
                "select items, scores from lists where user = ?", (user,)).fetchone()
            if row is None:
                return None
            codes, scores = np.frombuffer(row[0], _CODES), np.frombuffer(row[1], _SCORES)
            return CandidateList(items=[self.items[code] for code in codes.tolist()],
                                 scores=scores)

    def __len__(self) -> int:
        """How many lists it has."""
        return int(self._connection.execute("select count(*) from lists").fetchone()[0])

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError, TypeError, IndexError) as error:
            raise StateDamaged(
                f"the candidates {self._path} cannot be read: {error}. Materialise "
                f"{self._system}/candidates again, which replaces the file"
            ) from error
