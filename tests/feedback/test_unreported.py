"""Leads of outcomes that silence has partly wrong, made right by what audits tell."""

from __future__ import annotations

import doctest
from dataclasses import replace
from datetime import timedelta
from math import log

import numpy as np
import pandas as pd
import pytest

from ml_assets.core.feedback import Audit, FeedbackPolicy, TrustClass
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.target import Floats
from ml_assets.core.time import DAY, midnight
from ml_assets.core.truths import Complaints, Outcomes
from ml_assets.feedback import unreported
from ml_assets.feedback.pairs import Paired, paired
from ml_assets.feedback.unreported import Unreported
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import audits_schema
from ml_assets.registry.rollout import Promote, Shadow
from ml_assets.registry.trials import challenged
from ml_assets.targets import Number
from tests.feedback.trial import FIRST, Trial
from tests.toy import TOY

POLICY = FeedbackPolicy(trusted=(TrustClass(name="reader", sources=("buyer",)),), crowd=None,
                        audit=Audit(share=0.1))
FILTER = replace(TOY, feedback=POLICY, truth=Complaints(
    source="buyer", within=timedelta(hours=1), maturity=timedelta(days=1)))


def test_the_example_of_the_module_holds() -> None:
    failed, tried = doctest.testmod(unreported)
    assert (failed, tried > 1) == (0, True)


@pytest.mark.parametrize("reported", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["binary", "number"])
def test_the_mean_lead_is_that_of_the_truth_whatever_is_reported(
    kind: str, reported: float
) -> None:
    """Two models, of which the one that answers is wrong more often: silence hides it."""
    draw, rows = np.random.default_rng(1), 200_000
    if kind == "binary":
        truth_N = (draw.random(rows) < 0.3).astype(float)
        answers = [np.clip(truth_N + draw.normal(0, spread, rows), 0.01, 0.99)
                   for spread in (0.5, 0.4)]
        silent_N = (answers[0] >= 0.5).astype(float)

        def leads(codes_N: Floats) -> Floats:
            losses = [-np.log(np.where(codes_N > 0, each, 1 - each)) for each in answers]
            return np.asarray(losses[0] - losses[1])

        wrong_N = silent_N != truth_N
    else:
        truth_N = draw.normal(100, 30, rows)
        answers = [truth_N + draw.normal(0, spread, rows) for spread in (20, 15)]
        silent_N = answers[0]
        target = Number(name="delay", unit="min", tolerance=10)

        def leads(codes_N: Floats) -> Floats:
            return np.asarray((answers[0] - codes_N) ** 2 - (answers[1] - codes_N) ** 2) / 1e4

        wrong_N = ~target.right(truth_N, silent_N)
        truth_N = np.where(wrong_N, truth_N, silent_N)  # what nobody would complain about stands
    known_N = wrong_N & (draw.random(rows) < reported)
    labels_N = np.where(known_N, truth_N, silent_N)
    made = Unreported(silent_N=silent_N, apart_N=known_N, chances_N=np.full(rows, reported))
    found_N = made.leads(leads(labels_N), leads(silent_N))
    error = found_N.std() / np.sqrt(rows)
    assert leads(truth_N).mean() == pytest.approx(found_N.mean(), abs=4 * error)
    assert abs(leads(labels_N).mean() - leads(truth_N).mean()) > 4 * error
    reach = np.abs(leads(truth_N)).max()
    reach = max(reach, float(np.abs(leads(silent_N)).max()))
    assert (np.abs(found_N) <= reach * made.reaches_N + 1e-9).all()


WRONG = [0.9, 0.9, 0.9, 0.2, 0.9]
"""How sure the champion is of what comes true: one in five is a mistake."""
RIGHT = [0.8] * 5


def shadowed(settings: Settings, system: System, *, reported: float) -> Paired:
    """Sixteen days of a champion that errs in one of five and of a shadow that never does."""
    trial = Trial(settings=settings, system=system, right={1: WRONG, 2: RIGHT})
    for action in (Promote(version=1), Shadow(version=2)):
        trial.deployments.act("toy", action, reason="set up", by="tests",
                              at=midnight(FIRST))
    end = trial.serve(16, reported=reported)
    history = trial.deployments.history("toy")
    return paired(system, settings, challenged(history)[0], history, bound=3.0, end=end)


def audit(settings: Settings, system: System, *, reported: float, wrong: int = 200) -> None:
    """What as many audits found of the mistakes, for each of both labels."""
    rows = [(f"a{n}", pd.Timestamp(FIRST, tz="UTC"), pd.Timestamp(FIRST, tz="UTC"), f"a{n}",
             n % 2 == 0, True, n % 100 < 100 * reported, 0.1) for n in range(wrong)]
    schema = audits_schema(system)
    Lake(settings.lake).write("toy", "audits", FIRST, pd.DataFrame(rows, columns=schema.names),
                              schema)


def test_in_its_shadow_a_better_version_looks_worse_until_audits_tell(settings: Settings) -> None:
    """Half of the champion's mistakes become labels that agree with it."""
    truth = 0.2 * log(0.8 / 0.2) + 0.8 * log(0.8 / 0.9)
    naive = shadowed(settings, FILTER, reported=0.3).whole.leads_C.mean()
    audit(settings, FILTER, reported=0.3)
    chance = 1 - 0.7 * 0.9
    history = Trial(settings=settings, right={}).deployments.history("toy")
    made = paired(FILTER, settings, challenged(history)[0], history, bound=3.0,
                  end=pd.Timestamp(FIRST, tz="UTC").to_pydatetime() + 16 * DAY)
    assert naive < truth - 0.1
    assert made.whole.leads_C.mean() == pytest.approx(
        truth, abs=4 * made.whole.leads_C.std() / np.sqrt(len(made.whole.leads_C)) + 0.05)
    assert made.whole.reaches_C.max() == pytest.approx(3.0 * (2 - chance) / chance)


def test_outcomes_that_silence_denies_are_made_up_for_too(settings: Settings) -> None:
    """Of chargebacks only some come."""
    system = replace(FILTER, truth=Outcomes(source="buyer", after=timedelta(hours=2),
                                            silence=False))
    shadowed(settings, system, reported=1.0)
    audit(settings, system, reported=0.5)
    history = Trial(settings=settings, right={}).deployments.history("toy")
    made = paired(system, settings, challenged(history)[0], history, bound=3.0,
                  end=pd.Timestamp(FIRST, tz="UTC").to_pydatetime() + 16 * DAY)
    assert made.whole.reaches_C.min() > 3.0
