"""The evidence on a version that is tried, of the rows that a time machine has served."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ml_assets.evaluation.slices import rows_of
from ml_assets.feedback.judging import weighed
from ml_assets.feedback.pairs import paired_of
from ml_assets.registry.deployments import Deployment
from ml_assets.registry.judgement import Evidence
from ml_assets.registry.trials import Tried

if TYPE_CHECKING:
    from ml_assets.replay.league.machine import Machine


def evidence_of(
    machine: Machine, tried: Tried, history: Sequence[Deployment], now: datetime
) -> Evidence:
    """What is known at `now`: every version that is tried has scored what others answered."""
    system, rows = machine.system, machine.rows
    bound = machine.reports[tried.version].largest_loss
    if bound is None:
        return Evidence(missing=f"version {tried.version} was not evaluated")
    happened = rows["event_timestamp"]
    chosen = ((happened >= tried.since) & (happened < now - system.truth.maturity)
              & (rows["known_at"] < now) & (machine.by_N > 0)).to_numpy(dtype=bool)
    known = rows[chosen].assign(model_version=machine.by_N[chosen]).reset_index(drop=True)
    pairs = paired_of(
        system, known, [machine.outputs(each)[chosen] for each in (tried.version, tried.reference)],
        tried, history, bound=bound,
        slices=lambda found: {part.name: rows_of(part, found) for part in system.slices})
    return weighed(pairs, system.rollout, step_at=tried.step_at)
