"""The training loop of the house, from the file: `python -m benchmarks.training_load.ours`."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.training_load.task import COLUMNS, LOSS, SEED, SHARE, Encoded, fit_of, network
from benchmarks.training_load.used import Used, digest
from ml_assets.core.storage.row_range import RowRange
from ml_assets.training.loop.parquet_rows import ParquetRows
from ml_assets.training.loop.train import train


def main(path: Path, epochs: int) -> None:
    """Train, checkpoints included, and say what it took."""
    fit, judge, used = fit_of(epochs), network(), Used()
    fitted, validated = RowRange.of(path).divided_in_time(SHARE)

    def rows(part: RowRange, *, shuffle: bool) -> ParquetRows:
        return ParquetRows(stored=part, columns=COLUMNS, encode=Encoded(), buffer=fit.buffer,
                           shuffle=shuffle)

    history = train(judge, fit, rows(fitted, shuffle=True), rows(validated, shuffle=False),
                    loss=LOSS, seed=SEED, folder=path.parent / "checkpoints")
    used.say(losses=history.losses, weights=digest(judge))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
