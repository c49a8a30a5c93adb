"""In which order each epoch takes the rows, told to the peers, who would draw another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.training_load.task import GROUP, SEED, fit_of
from ml_assets.core.storage.row_range import RowRange
from ml_assets.training.loop.blocks import RowBlock
from ml_assets.training.loop.parquet_rows import ParquetRows


def write_orders(folder: Path, rows: int, epochs: int) -> None:
    """`<epoch>.npy`: the numbers of the first `rows` rows."""
    numbered = folder / "numbered.parquet"
    pq.write_table(pa.table({"number": np.arange(rows)}), numbered, row_group_size=GROUP)
    source = ParquetRows(stored=RowRange.of(numbered), columns=("number",), encode=_encoded,
                         buffer=fit_of(epochs).buffer)
    for epoch in range(epochs):
        order = np.concatenate([block.wanted for block in source(epoch, SEED)])
        np.save(folder / f"{epoch}.npy", order)
    numbered.unlink()


def _encoded(table: pa.Table) -> RowBlock:
    return RowBlock(inputs={}, wanted=table["number"].to_numpy())
