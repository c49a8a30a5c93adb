"""Systems of each kind of target take in history, train, judge and ship, by their assets."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_assets.core.system import System
from ml_assets.evaluation.report import EvaluationReport
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.training import artifact
from tests.tickets import TICKETS
from tests.tracks import TRACKS
from tests.trips import TRIPS
from tests.whole_loop import whole_loop


@pytest.mark.slow
@pytest.mark.parametrize("system", [TICKETS, TRACKS, TRIPS], ids=lambda system: system.name)
def test_a_system_of_another_kind_trains_judges_and_ships_its_first_model(
    system: System, tmp_path: Path
) -> None:
    """Better than its gates ask for, on events that it had not seen."""
    with whole_loop(tmp_path, system) as loop:
        deployed = Deployments(loop.settings.deployments).current(system.name)
        assert deployed is not None, "the gates are met"
        registry = ModelRegistry(loop.settings)
        stored = registry.evaluation(system.name, deployed.version)
        assert stored is not None
        report = EvaluationReport.from_json(stored)
        measured = report.metrics.candidate
        assert measured is not None and set(measured) == set(system.target.metrics)
        assert report.passed
        scorer = artifact.load(registry.folder(system.name, deployed.version))
        assert scorer.target == system.target
        assert loop.clock.now() == system.calendar.live_from
