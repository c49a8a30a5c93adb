"""A training set beside the one that pandas makes of all rows at once."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from benchmarks.bulk_load.in_memory import assemble
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.training_sets.assembling import assembled
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.features.training_sets.training_set import TrainingSets


def built_as_at_once(settings: Settings, system: System, as_of: datetime) -> TrainingSet:
    """Asserts that rows, types and version are the same, bit by bit."""
    rows, version, lacking = assemble(settings, system, as_of)
    with assembled(settings, system, as_of) as made:
        found = pd.concat(list(made.frames()), ignore_index=True)
    pd.testing.assert_frame_equal(found, rows, check_exact=True)
    built = TrainingSets(settings, system).build(as_of)
    assert (built.version, built.events_lacking, built.labels) == (version, lacking, len(rows))
    return built
