"""How a file that somebody brings is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from ml_assets.core.data.tables import KeptRows
from ml_assets.core.errors import FetchError
from ml_assets.core.project import project
from ml_assets.ingest.sources import CsvFile, ParquetFiles
from ml_assets.projects.spelling import call, text

CHUNK = 2**20


@dataclass(frozen=True, kw_only=True)
class Brought:
    """A file. name: for messages; rows: its reader; code: Python that builds it."""

    name: str
    rows: KeptRows
    code: str


def brought(path: Path) -> Brought:
    """The reader of a file, by its name and content. Raises FetchError."""
    path = path.resolve()
    if not path.is_file():
        raise FetchError(f"{path} is not there" if not path.exists() else
                         f"{path} is a folder; name one file, and declare a pattern later")
    home = project().folder.resolve()
    said = str(path.relative_to(home) if path.is_relative_to(home) else path)
    if path.suffix in (".parquet", ".pq"):
        return Brought(name=path.name, rows=ParquetFiles(file=said),
                       code=call("ParquetFiles", [f"file={text(said)}"]))
    encoding = _encoding(path)
    separator = _separator(path, encoding)
    arguments = [f"file={text(said)}"]
    if encoding != "utf-8":
        arguments.append(f"encoding={text(encoding)}")
    if separator != ",":
        arguments.append(f"separator={text(separator)}")
    return Brought(name=path.name, code=call("CsvFile", arguments),
                   rows=CsvFile(file=said, encoding=encoding, separator=separator))


def _encoding(path: Path) -> str:
    """UTF-8 if all of it is; UTF-16 with its mark; otherwise Windows' Western one."""
    if path.suffix in (".gz", ".bz2", ".xz"):
        return "utf-8"
    from codecs import BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder

    decoder = getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        chunk = file.read(CHUNK)
        if chunk[:2] in (BOM_UTF16_BE, BOM_UTF16_LE):
            return "utf-16"
        try:
            while chunk:
                decoder.decode(chunk)
                chunk = file.read(CHUNK)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8"


def _separator(path: Path, encoding: str) -> str:
    """What DuckDB takes for it; a comma if it cannot tell."""
    known = {"utf-8": "utf-8", "utf-16": "utf-16", "cp1252": "latin-1"}[encoding]
    escaped = str(path).replace("'", "''")
    try:
        with duckdb.connect(":memory:") as connection:
            found = connection.execute(
                f"select Delimiter from sniff_csv('{escaped}', encoding='{known}')").fetchone()
    except duckdb.Error:
        return ","
    return str(found[0]) if found else ","
