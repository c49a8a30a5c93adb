"""Training sets of made rows."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

_FOLDERS: list[TemporaryDirectory[str]] = []


def stored(rows: pd.DataFrame, *, group: int | None = None) -> Path:
    """Where these rows lie, as long as the tests run. group: rows of a row group"""
    _FOLDERS.append(TemporaryDirectory(prefix="ml-assets-test-"))
    path = Path(_FOLDERS[-1].name) / "rows.parquet"
    rows.to_parquet(path, index=False, row_group_size=group)
    return path
