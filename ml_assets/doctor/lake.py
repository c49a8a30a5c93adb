"""The tables of the lake: reads every day completely, and finds gaps between days."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.doctor.findings import Finding

SHOWN = 5
DAILY = ("raw", "events", "labels", "quarantine")
"""Tables that are ingested day by day, without gaps."""


def examine_lake(lake: Path) -> Iterator[Finding]:
    """A finding for each table, and one for each of its files that cannot be read."""
    for folder in sorted(lake.glob("*/*")) if lake.is_dir() else ():
        if not folder.is_dir():
            continue
        table = f"lake/{folder.relative_to(lake).as_posix()}"
        files = sorted(path for path in folder.rglob("*") if path.suffix)
        broken = list(_broken(lake, files))
        yield from broken
        daily = folder.name in DAILY or folder.name.startswith(("raw_", "quarantine_"))
        missing = _missing([path.stem for path in folder.glob("[0-9]*.parquet")]) if daily else []
        if missing:
            yield Finding(
                what=table, holds=f"{len(files)} files",
                trouble=f"lacks {len(missing)} days between others: "
                        f"{', '.join(map(str, missing[:SHOWN]))}",
                remedy="restore them from a backup, or materialise these days of the table again",
            )
        elif not broken:
            yield Finding(what=table, holds=f"{len(files)} files")


def _broken(lake: Path, files: list[Path]) -> Iterator[Finding]:
    for path in files:
        trouble = _trouble(path)
        if trouble is not None:
            yield Finding(
                what=path.relative_to(lake.parent).as_posix(), holds="of the lake", trouble=trouble,
                remedy="restore it from a backup, or delete the file and materialise this "
                       "partition of the table again",
            )


def _trouble(path: Path) -> str | None:
    try:
        if not path.is_file():
            return "cannot be read: it is not a file"
        if path.stat().st_size == 0:
            return "is empty"
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        if path.suffix == ".npz":
            with ZipFile(path) as file:
                broken = file.testzip()
            return f"is damaged: {broken}" if broken else None
        if path.suffix != ".parquet":
            return None
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=4096):
                batch.validate()
    except (pa.ArrowException, OSError, ValueError, BadZipFile) as error:
        said = " ".join(str(error).split())[:150].rstrip(".")
        return f"is damaged: {said}"
    return None


def _missing(stems: list[str]) -> list[date]:
    """The days between the first and the last that have no file."""
    days = set()
    for stem in stems:
        try:
            days.add(date.fromisoformat(stem))
        except ValueError:
            continue  # not a day
    if not days:
        return []
    span = (max(days) - min(days)).days
    return [day for n in range(span) if (day := min(days) + timedelta(days=n)) not in days]
