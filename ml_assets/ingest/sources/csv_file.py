"""Rows in files of separated values."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import lzma
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from ml_assets.core.declaration import declaration
from ml_assets.core.errors import FetchError
from ml_assets.core.policies import require
from ml_assets.core.texts import shown
from ml_assets.ingest.sources.origins import ORIGIN, PROBLEM, texts_of
from ml_assets.ingest.sources.places import File, fetched, matching, stamp_of

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_FIELD = 2**20
"""Characters. A quote that is never closed swallows what follows up to here, not the file."""
OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}

csv.field_size_limit(LONGEST_FIELD)


@declaration
class CsvFile:
    """Every value is a text; the declared columns say what it becomes.

    file: a path, relative to the project, or a `PackagedFile`. `.gz`, `.bz2` and `.xz` are
        decompressed
    separator, quote: one character each; a quote inside quotes is doubled
    encoding: as Python calls it; a byte order mark is skipped
    missing: texts that stand for no value
    header: the columns' names, if the first row does not hold them
    pattern: whether `file` is a pattern of names, such as `orders/*.csv`; otherwise `*` is a
        character like any other

    A row with too many or too few values, or with a wrong quote, fails alone: it is passed on
    without values, with the file, the line and the reason.
    """

    file: File
    separator: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    missing: tuple[str, ...] = ("",)
    header: tuple[str, ...] | None = None
    pattern: bool = False

    def __post_init__(self) -> None:
        for name in ("separator", "quote"):
            value: str = getattr(self, name)
            require(len(value) == 1 and value not in "\r\n", self, name, value, "one character")
        require(_is_encoding(self.encoding), self, "encoding", self.encoding,
                "a text encoding that Python knows, such as 'utf-8' or 'cp1252'")

    def fetch(self, cache: Path) -> Path:
        return fetched(self.file, cache, pattern=self.pattern)

    def stamp(self, fetched: Path) -> str | None:
        return stamp_of(matching(fetched, pattern=self.pattern))

    def batches(self, fetched: Path) -> Iterator[pa.RecordBatch]:
        """Raises FetchError for a file without columns, or in another encoding."""
        names: Sequence[str] | None = None
        for path in matching(fetched, pattern=self.pattern):
            with self._opened(path) as file:
                reader = csv.reader(file, delimiter=self.separator, quotechar=self.quote,
                                    strict=True)
                try:
                    columns = self.header or _header(reader, path)
                    if names is None:
                        names = columns
                    elif tuple(names) != tuple(columns):
                        raise FetchError(f"{path} has the columns {list(columns)}; expected "
                                         f"{list(names)}, as in the file before it")
                    yield from texts_of(columns, self._rows(reader, len(columns), path.name))
                except UnicodeDecodeError as error:
                    raise self._undecodable(path, error) from error

    def _rows(
        self, reader: Iterator[list[str]], width: int, name: str
    ) -> Iterator[tuple[list[str | None] | None, str, str | None]]:
        missing = frozenset(self.missing)
        while True:
            origin = f"{name}:{reader.line_num + 1}"  # type: ignore[attr-defined]
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield None, origin, f"it cannot be read: {error}"
                continue
            if len(row) == width:
                yield [None if value in missing else value for value in row], origin, None
            elif row:
                yield None, origin, f"it has {len(row)} values; expected {width}"

    def _opened(self, path: Path) -> TextIO:
        utf8 = codecs.lookup(self.encoding).name == "utf-8"
        opener = OPENERS.get(path.suffix, open)
        return cast(TextIO, opener(  # type: ignore[operator]
            path, "rt", encoding="utf-8-sig" if utf8 else self.encoding, newline=""))

    def _undecodable(self, path: Path, error: UnicodeDecodeError) -> FetchError:
        found = error.object[error.start:error.start + 1].hex()
        return FetchError(f"{path} is not {self.encoding}: it holds the byte 0x{found} "
                          f"({error.reason}). Declare its encoding, for example "
                          "CsvFile(..., encoding=\"cp1252\")")


def _header(reader: Iterator[list[str]], path: Path) -> tuple[str, ...]:
    try:
        names = next(reader, [])
    except csv.Error as error:
        raise FetchError(f"{path}:1: the columns' names cannot be read: {error}") from error
    if not names:
        raise FetchError(f"{path}:1 is empty; expected the columns' names")
    named = tuple(name.strip() or f"column_{place}" for place, name in enumerate(names, 1))
    for name in named:
        if named.count(name) > 1 or name in (ORIGIN, PROBLEM):
            raise FetchError(f"{path}:1: the column {shown(name)} occurs twice, or is one "
                             "that readers add. Rename it, or declare header=(...)")
    return named


def _is_encoding(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        return False
