"""What is written into the lake through Feast: rows pushed to a source, logged features."""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.core.errors import ContractViolation
from ml_assets.core.storage.files import replacing
from ml_assets.features.history.relations.source import Source


def append(source: Source, rows: pa.Table) -> Path:
    """Add `rows` to a source: to a folder a file more, to a file its content anew.

    The columns may be in any order; their types are made those of the source. A folder
    without files takes the rows as they are. Raises ContractViolation where columns are
    missing or too many, or a type does not fit. Returns the file that was written.
    """
    is_file = source.path.suffix == ".parquet"
    if source.files:
        schema = pq.read_schema(source.files[-1]).remove_metadata()
        if set(schema.names) != set(rows.schema.names):
            raise ContractViolation(
                f"source {source.name!r} has the columns {', '.join(schema.names)}; "
                f"the rows have {', '.join(rows.schema.names)}"
            )
        try:
            rows = rows.select(schema.names).cast(schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ContractViolation(
                f"the rows do not fit the types of source {source.name!r}: {error}"
            ) from error
    if is_file:
        before = [pq.ParquetFile(file).read() for file in source.files]
        rows = pa.concat_tables([*(each.cast(rows.schema) for each in before), rows])
        path = source.path
    else:
        # After every file named for a day, so that of equal rows the pushed one counts.
        path = source.path / f"pushed-{len(source.files):06d}-{uuid.uuid4().hex[:8]}.parquet"
    with replacing(path) as temporary:
        pq.write_table(rows, temporary, compression="zstd")
    return path


def log(rows: pa.Table | Path, folder: Path, partition_by: list[str]) -> None:
    """Add logged features to a folder: a file, or one for each value of `partition_by`.

    rows: a table, or the folder or file that holds it
    """
    table = pq.read_table(rows) if isinstance(rows, Path) else rows
    name = uuid.uuid4().hex
    if partition_by:
        pq.write_to_dataset(
            table, folder, partition_cols=partition_by, basename_template=name + "-{i}.parquet"
        )
        return
    with replacing(folder / f"{name}.parquet") as temporary:
        pq.write_table(table, temporary, compression="zstd")
