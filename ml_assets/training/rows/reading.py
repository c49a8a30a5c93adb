"""The rows of a training set, as a system's model reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.core.model import Minibatch
from ml_assets.core.slates.propensity import shown_evenly
from ml_assets.core.storage.row_range import RowRange
from ml_assets.core.system import System
from ml_assets.core.target import Target
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.training.rows.slate_weights import slate_weights
from ml_assets.training.rows.stored import RowLabels, RowReading, StoredRows, column_of
from ml_assets.training.rows.training_rows import Codes, TrainingRows
from ml_assets.training.scored import Floats

LABEL = "label"


def rows_of(
    system: System, training_set: TrainingSet, split: Literal["train", "holdout"]
) -> TrainingRows:
    """Those that are trained on, or those that are held out."""
    stored = training_set.part(split)
    codes = np.concatenate([np.empty(0), *(
        _codes(system.target, table) for table in stored.tables([LABEL]))])
    weights = _weights(system, stored, codes) if split == "train" else None
    return StoredRows(stored=stored, reading=RowReading(
        texts=system.model.texts, feature_names=training_set.feature_names,
        coded=training_set.coded, ids=_ids(stored.path, system.model.texts),
        labels=RowLabels(first=stored.start, codes=codes, weights=weights)))


def _ids(path: Path, texts: tuple[str, ...]) -> frozenset[str]:
    schema = pq.read_schema(path)
    return frozenset(name for name in texts if pa.types.is_integer(schema.field(name).type))


def _codes(target: Target, table: pa.Table) -> Codes:
    """(B,) of the labels: each different one is looked at once."""
    labels = table[LABEL].combine_chunks().dictionary_encode()
    codes: Codes = target.codes(labels.dictionary.to_pylist()).take(labels.indices)
    return codes


def _weights(system: System, stored: RowRange, codes: Codes) -> Floats | None:
    """(N,) how much each row counts: by a column, its slate, and how seldom it was shown."""
    fit, policy = system.model.fit, system.target.slates
    by_column = fit.sample_weights if isinstance(fit, Minibatch) else None
    if by_column is None and policy is None:
        return None
    weights = np.ones(len(codes))
    if by_column is not None:
        weights *= column_of(stored.table([by_column]), by_column, pa.float64())
    if policy is not None:
        weights *= slate_weights(stored.table(["event_id"])["event_id"].to_pylist(), codes)
        if policy.debias:
            weights *= shown_evenly(
                column_of(stored.table(["propensity"]), "propensity", pa.float64()))
    return weights.astype(np.float32)
