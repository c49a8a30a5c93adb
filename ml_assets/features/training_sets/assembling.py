"""The rows of a training set, one portion after the other: no more are in memory at any time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.core.errors import NotReady
from ml_assets.core.runtime.workers import shared_scratch, workers_at
from ml_assets.core.settings import Settings
from ml_assets.core.slates import OF_ROWS
from ml_assets.core.storage.sql import file_of, name_of
from ml_assets.core.system import System
from ml_assets.features.history.pieces import of_size, read_features, write_features
from ml_assets.features.history.relations.duck import Connection, Limits, opened, row_of
from ml_assets.features.history.relations.refusing import explained
from ml_assets.features.history.sharded.answering import answering_of
from ml_assets.features.history.spine import Spine, spine_of_file
from ml_assets.features.offline import OfflineFeatures, Vectors
from ml_assets.features.training_sets import GROUP
from ml_assets.features.training_sets.labelled import labelled_schema, write_labelled
from ml_assets.features.training_sets.progress import BuildProgress, untold
from ml_assets.features.training_sets.shown import shown
from ml_assets.features.training_sets.vectors import vectors_of
from ml_assets.ingest.lake import Lake, frame_of
from ml_assets.ingest.log.served import from_us

MEMORY = 2**31
"""Bytes that building one takes, about; what does not fit waits on the disk."""


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """A training set that is being built.

    count: how many rows it has; first, last: the days of the first and the last event
    lacking: how many labels have no event
    partly: columns of whole numbers or of booleans that some rows lack, and not all
    spine: the events with their labels; features: for each view a file with what it says of each
    """

    settings: Settings
    system: System
    count: int
    first: date
    last: date
    lacking: int
    partly: tuple[str, ...]
    spine: Spine
    features: tuple[Path, ...]

    def frames(self) -> Iterator[pd.DataFrame]:
        """The rows in the order of time, GROUP of them at a time: the columns of
        `TrainingSet.rows`. Raises DeclarationError if a derived feature depends on other rows.
        """
        features = OfflineFeatures(self.settings, self.system)
        alone, lake = features.alone(self.count), Lake(self.settings.lake)
        columns = [column.name for column in self.system.columns]
        slates = [] if self.system.target.slates is None else [*OF_ROWS]
        assert self.spine.high is not None
        held_out = pd.Timestamp(from_us(self.spine.high) - self.system.model.holdout)
        schema = labelled_schema(self.system)
        for table, vectors in self._portions():
            rows = frame_of(table.cast(schema))
            rows = rows.astype(dict.fromkeys(self.partly, object))
            split = (rows["event_timestamp"] > held_out).map({False: "train", True: "holdout"})
            rows = rows.assign(split=split.astype(object))
            if slates:
                rows = shown(lake, self.system, rows)
            rows = rows[["event_id", "event_timestamp", "accepted_at", "label", "known_at", "split",
                         *columns, *slates]]
            values = features.derived(vectors, rows)
            alone.see(values, {name: rows[name] for name in features.columns})
            yield pd.concat([
                rows, pd.DataFrame(values, columns=list(features.names), index=rows.index),
                *vectors_of(self.system.model, rows)], axis=1)
        alone.conclude()

    def _portions(self) -> Iterator[tuple[pa.Table, Vectors]]:
        """The events with their labels, and what the views say of each (n, F)."""
        parts = [of_size(self.spine.parts(GROUP), GROUP)]
        parts += [of_size(read_features(file, GROUP), GROUP) for file in self.features]
        for rows, *views in zip(*parts, strict=True):
            read = [view[name].to_numpy() for view in views for name in view.schema.names]
            yield rows, np.stack(read, axis=1) if read else np.empty((len(rows), 0), np.float32)


@contextmanager
def assembled(
    settings: Settings, system: System, as_of: datetime, *, share: float = 1.0,
    progress: BuildProgress = untold,
) -> Iterator[Assembly]:
    """In the block there is the training set of what was known strictly before `as_of`.

    share: of all events, those that are `drawn`
    progress: told of each view before its features are computed
    Raises NotReady if nothing was known.
    """
    workers = workers_at(settings.ray)
    place = None if workers is None else shared_scratch(settings.var)
    with (
        TemporaryDirectory(prefix="ml_assets-training-set-", dir=place) as folder, explained(),
        opened(Limits(memory=MEMORY, scratch=Path(folder) / "duckdb")) as con,
    ):
        labelled = Path(folder) / "labelled.parquet"
        lacking = write_labelled(
            con, Lake(settings.lake), system, as_of, labelled, share=share)
        if not pq.read_metadata(labelled).num_rows:
            raise NotReady(f"no label of {system.name!r} was known before {as_of.isoformat()}; "
                           f"materialise {system.name}/events and {system.name}/labels first")
        features = OfflineFeatures(settings, system)
        spine = spine_of_file(
            con, labelled, "event_timestamp", features.keys, arrived="accepted_at")
        assert spine.low is not None and spine.high is not None
        files, lookups = list[Path](), features.lookups(con, spine)
        for number, lookup in enumerate(lookups):
            progress(f"features of {spine.rows:,} rows, views", number, len(lookups))
            files.append(Path(folder) / f"view_{number}.parquet")
            write_features(con, lookup, files[-1], MEMORY, answering_of(workers, Path(folder)))
        yield Assembly(
            settings=settings, system=system, count=spine.rows, first=from_us(spine.low).date(),
            last=from_us(spine.high).date(), lacking=lacking,
            partly=_partly(con, system, labelled), spine=spine, features=tuple(files))


def _partly(con: Connection, system: System, labelled: Path) -> tuple[str, ...]:
    names = [field.name for field in labelled_schema(system)
             if pa.types.is_integer(field.type) or pa.types.is_boolean(field.type)]
    if not names:
        return ()
    counts = row_of(con, f"select count(*), {', '.join(f'count({name_of(n)})' for n in names)} "
                         f"from read_parquet({file_of(labelled)})")
    return tuple(name for name, there in zip(names, counts[1:], strict=True)
                 if 0 < there < counts[0])
