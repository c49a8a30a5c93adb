"""The rows of a training set, as a system's model reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml_assets.core.model import Minibatch
from ml_assets.core.slates.propensity import shown_evenly
from ml_assets.core.storage.row_range import RowRange
from ml_assets.core.system import System
from ml_assets.core.target import Target
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.ingest.audits import label_weights
from ml_assets.ingest.lake import INSTANT, Lake
from ml_assets.training.rows.fading import fading_weights
from ml_assets.training.rows.slate_weights import slate_weights
from ml_assets.training.rows.stored import RowLabels, RowReading, StoredRows, column_of
from ml_assets.training.rows.training_rows import Bools, Codes, TrainingRows
from ml_assets.training.scored import Floats

LABEL = "label"


def rows_of(
    system: System, training_set: TrainingSet, split: Literal["train", "holdout"]
) -> TrainingRows:
    """Those that are trained on, or those that are held out."""
    stored = training_set.part(split)
    codes = np.concatenate([np.empty(0), *(
        _codes(system.target, table) for table in stored.tables([LABEL]))])
    weights = _weights(system, training_set, stored, codes) if split == "train" else None
    return StoredRows(stored=stored, reading=RowReading(
        texts=system.model.texts, feature_names=training_set.feature_names,
        coded=training_set.coded, ids=_ids(stored.path, system.model.texts),
        labels=RowLabels(first=stored.start, codes=codes, weights=weights,
                         shown=_shown(system, stored) if split == "train" else None)))


def _ids(path: Path, texts: tuple[str, ...]) -> frozenset[str]:
    schema = pq.read_schema(path)
    return frozenset(name for name in texts if pa.types.is_integer(schema.field(name).type))


def _codes(target: Target, table: pa.Table) -> Codes:
    """(B,) of the labels: each different one is looked at once."""
    labels = table[LABEL].combine_chunks().dictionary_encode()
    codes: Codes = target.codes(labels.dictionary.to_pylist()).take(labels.indices)
    return codes


def _weights(
    system: System, training_set: TrainingSet, stored: RowRange, codes: Codes
) -> Floats | None:
    """(N,) how much each row counts: by its age, a column, its slate, how seldom it was shown, and
    how seldom such a label becomes known."""
    fit, policy = system.model.fit, system.target.slates
    assert fit is not None, "a model that declares none has its network's"
    by_column = fit.sample_weights if isinstance(fit, Minibatch) else None
    if (fit.half_life, by_column, policy, system.feedback.audit) == (None, None, None, None):
        return None
    weights = np.ones(len(codes))
    if fit.half_life is not None:
        happened = stored.table(["event_timestamp"])["event_timestamp"].cast(INSTANT)
        weights *= fading_weights(happened.cast(pa.int64()).to_numpy(), fit.half_life)
    if by_column is not None:
        weights *= column_of(stored.table([by_column]), by_column, pa.float64())
    if policy is not None:
        weights *= slate_weights(stored.table(["event_id"])["event_id"].to_pylist(), codes)
        if policy.debias:
            weights *= shown_evenly(
                column_of(stored.table(["propensity"]), "propensity", pa.float64()))
    if system.feedback.audit is not None:
        weights *= _standing_for(system, training_set, stored)
    return weights.astype(np.float32)


def _shown(system: System, stored: RowRange) -> Bools | None:
    """(N,) see `TrainingRows`: rows that we served have a propensity."""
    if system.target.slates is None:
        return None
    shown_N: Bools = column_of(stored.table(["propensity"]), "propensity", pa.float64()) > 0
    return shown_N if 0 < shown_N.sum() < len(shown_N) else None


def _standing_for(system: System, training_set: TrainingSet, stored: RowRange) -> Codes:
    """(N,) see `ingest.audits.label_weights`."""
    rows = stored.table(["event_id", "accepted_at", LABEL])
    live_from = pa.scalar(system.calendar.live_from, INSTANT)
    live_N = pc.greater_equal(rows["accepted_at"], live_from).to_numpy(zero_copy_only=False)
    lake = Lake(training_set.path.parents[2])  # <lake>/<system>/training_set/<version>.parquet
    return label_weights(lake, system, training_set.as_of, rows["event_id"].to_pylist(),
                         rows[LABEL].to_pylist(), live_N)
