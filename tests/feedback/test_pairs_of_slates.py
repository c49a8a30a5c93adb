"""Whoever selects a page has put on top what it thinks of it already: what another order of the
page is worth is a fair comparison only if both select."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.slates import row_id
from ml_assets.core.time import DAY, midnight
from ml_assets.feedback.judging import weighed
from ml_assets.feedback.pairs import Paired, paired
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog, Prediction, ShadowScore
from ml_assets.ingest.tables import outcomes_schema
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.rollout import Action, Canary, Promote, Shadow
from ml_assets.registry.routing import arm
from ml_assets.registry.trials import challenged, watched
from tests.tracks import FIRST, PAGE, TRACKS

START = midnight(FIRST)
SYSTEM = replace(TRACKS, slices=())
PAGES, KNOWN = 1000, 60


def served(
    settings: Settings, *actions: Action, better: float = 0.0, taken_at_all: bool = True
) -> Paired:
    """What is known of a version and its reference after a day of pages, each the five tracks of
    60 that whoever answered thinks best.

    Both see what a track is worth to its listener with errors of their own, as large for both
    unless version 2 is `better`. taken_at_all: whether anybody ever takes anything
    """
    deployments = Deployments(settings.deployments)
    for action in actions:
        deployments.act(SYSTEM.name, action, reason="set up", by="tests", at=START)
    record = deployments.current(SYSTEM.name)
    assert record is not None
    draw = np.random.default_rng(7)
    outcomes, predictions = list[tuple[object, ...]](), list[Prediction]()
    shadows = list[ShadowScore]()
    for page in range(PAGES):
        at = START + timedelta(seconds=80 * page)
        listener = f"l{page % 300}"
        worth = draw.normal(size=KNOWN)
        seen = {version: 1 / (1 + np.exp(-(worth + error * draw.normal(size=KNOWN))))
                for version, error in ((1, 1.0), (2, 1.0 - better))}
        by = arm(record, listener)
        shown = np.argsort(-seen[by])[:PAGE]
        taken = taken_at_all & (draw.random(PAGE) < 1 / (1 + np.exp(2.5 - 1.5 * worth[shown])))
        for place, track in enumerate(shown):
            event_id = row_id(f"page-{page}", place + 1)
            outcomes.append((
                f"p{page}-{place}", event_id, at, at + timedelta(minutes=5), bool(taken[place]),
                "feedback", by, seen[by][track], True, "champion", 1.0, None, listener,
                int(track)))
            predictions.append(Prediction(
                prediction_id=f"p{page}-{place}", system=SYSTEM.name, event_id=event_id,
                event_timestamp=at, accepted_at=at, request="{}", features_as_of=at,
                features=np.empty(0, np.float32), feature_names=(), model_version=by,
                score=float(seen[by][track]), decision=True))
            shadows += [ShadowScore(prediction_id=f"p{page}-{place}", model_version=version,
                                    score=seen[version][track], outputs=(), scored_at=at)
                        for version in seen if version != by]
    with closing(EventLog(settings.event_log)) as log:
        log.append(predictions)
        log.shadows.add(shadows)
    schema = outcomes_schema(SYSTEM)
    Lake(settings.lake).write(SYSTEM.name, "outcomes", FIRST, pd.DataFrame(
        outcomes, columns=schema.names), schema)
    history = deployments.history(SYSTEM.name)
    tried = [*challenged(history), watched(history)][0]
    assert tried is not None
    return paired(SYSTEM, settings, tried, history, bound=1.0, end=START + 2 * DAY)


def lead(pairs: Paired) -> tuple[float, float]:
    """The mean and its standard error."""
    leads = pairs.whole.leads_C
    return float(leads.mean()), float(leads.std() / np.sqrt(len(leads)))


def test_a_slate_is_one_case_and_one_of_which_nothing_was_taken_is_none(
    settings: Settings,
) -> None:
    pairs = served(settings, Promote(version=1), Shadow(version=2))
    assert len(pairs.at) == PAGES * PAGE
    assert PAGES / 4 < len(pairs.whole.leads_C) < PAGES
    assert np.abs(pairs.whole.leads_C).max() <= 1
    assert pairs.whole.units_C is not None and len(np.unique(pairs.whole.units_C)) > 200


def test_an_equal_model_seems_better_on_pages_that_it_did_not_select(settings: Settings) -> None:
    """So in its shadow nothing speaks for it, and something may speak against it."""
    pairs = served(settings, Promote(version=1), Shadow(version=2))
    mean, error = lead(pairs)
    assert mean > 3 * error
    assert not pairs.whole.supports_C.any() and pairs.whole.accuses_C.all()
    assert weighed(pairs, SYSTEM.rollout, step_at=START).parts[0].better == 0


def test_a_new_champion_is_not_accused_by_pages_that_it_selected_alone(
    settings: Settings,
) -> None:
    """Its predecessor, as good as it, seems better on these."""
    pairs = served(settings, Promote(version=1), Promote(version=2, watched=True))
    mean, error = lead(pairs)
    assert mean < -3 * error
    assert weighed(pairs, SYSTEM.rollout, step_at=START).parts[0].worse == 0


def test_while_both_select_equal_models_are_equal(settings: Settings) -> None:
    pairs = served(settings, Promote(version=1), Canary(version=2, share=0.2))
    mean, error = lead(pairs)
    assert abs(mean) < 3 * error
    assert pairs.whole.reaches_C == pytest.approx(np.full(len(pairs.whole.leads_C), 2.5))
    assert pairs.whole.supports_C.all() and pairs.whole.accuses_C.all()


def test_a_better_model_is_found_to_be_better(settings: Settings) -> None:
    pairs = served(settings, Promote(version=1), Canary(version=2, share=0.5), better=0.8)
    seen = weighed(pairs, SYSTEM.rollout, step_at=START).parts[0]
    assert seen.better > np.log(20) and seen.worse < 0


def test_a_worse_one_is_found_in_the_shadow_already(settings: Settings) -> None:
    pairs = served(settings, Promote(version=1), Shadow(version=2), better=-4.0)
    assert weighed(pairs, SYSTEM.rollout, step_at=START).parts[0].worse > np.log(20)
