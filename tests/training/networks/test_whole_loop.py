"""Two unlike systems go round the whole loop: the network of tables, and one of one's own."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml_assets.core.model import Categories, Minibatch, Model, Numbers, Tabular, Text, Torch
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import batch_schema
from ml_assets.monitoring.parity import ParityReports
from ml_assets.registry.models import ModelRegistry
from ml_assets.training import artifact
from ml_assets.training.exported.scorer import OnnxScorer
from tests.meter import METER
from tests.serving.kit import serving
from tests.tenants import serve_a_day
from tests.whole_loop import WHOLE, whole_loop

pytestmark = pytest.mark.slow

FIT = Minibatch(batch=32, epochs=2)
TABLES = replace(METER, model=Model(
    inputs=(Numbers("reading", "celsius"), Categories("state")),
    network=Tabular(hidden=16, blocks=1, pieces=4), fit=FIT))
OWN = replace(WHOLE, model=Model(
    inputs=(Text("note", unit="words", length=4, ids=64), Numbers("amount")),
    network=Torch("tests.training.networks.own:Small", {"hidden": 4}), fit=FIT))


@pytest.mark.parametrize("system", [TABLES, OWN], ids=lambda system: system.name)
def test_a_network_is_trained_exported_served_scored_in_a_batch_and_proved(
    system: System, tmp_path: Path
) -> None:
    """No room knows which network it is: parity is 0, and a batch gives what was served."""
    with whole_loop(tmp_path, system) as loop:
        scorer = artifact.load(ModelRegistry(loop.settings).folder(system.name, 1))
        assert isinstance(scorer, OnnxScorer)
        day = loop.clock.now().date()
        with serving(loop) as api:
            serve_a_day(loop, api, day)
        loop.close(day)
        parity = ParityReports(loop.settings, system).read(day)
        assert parity is not None and parity.holds
        assert (parity.checked, parity.degraded) == (30, 0)
        loop.runs.batch(day)
        batch = Lake(loop.settings.lake).read(
            system.name, "batch_predictions", batch_schema(system), start=day, end=day + DAY)
        with closing(EventLog(loop.settings.event_log)) as log:
            served = list(log.predictions(system.name, midnight(day), midnight(day) + DAY))
        assert len(served) == 30
        rows = batch.set_index("event_id")
        same = [each for each in served if np.array_equal(
            np.asarray(each.features, np.float32),
            np.asarray(rows.loc[each.event_id, "features"], np.float32), equal_nan=True)]
        assert same, "a table that is loaded at night changes the others"
        assert [each.score for each in same] == pytest.approx(
            [rows.loc[each.event_id, "score"] for each in same], abs=1e-6)
        loop.runs.retraining({"ml_assets/reason": "again"})
        assert len(ModelRegistry(loop.settings).versions(system.name)) == 2
