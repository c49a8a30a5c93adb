"""A version whose pages nobody takes anything of is found, by these pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.slates import row_id
from ml_assets.core.time import DAY
from ml_assets.feedback.judging import weighed
from ml_assets.feedback.own_pages import OwnPages, own_pages
from ml_assets.registry.judgement import judge_challenger
from ml_assets.registry.rollout import Canary, Promote, Shadow, Withdraw
from ml_assets.registry.trials import Tried
from tests.feedback.test_pairs_of_slates import START, SYSTEM, served
from tests.toy import TOY

TRIED = Tried(version=2, reference=1, since=START, share=0.5, step_at=START)
LEVEL = SYSTEM.rollout.harm_level


def shown(seed: int, *, days: int, share: float, fewer: float) -> pd.DataFrame:
    """Outcomes of one row a page. Some look at many pages and some at few, some take much and some
    little, each is answered by one version, and of version 2's pages `fewer` are worth a choice."""
    draw = np.random.default_rng(seed)
    users = pd.DataFrame({
        "by": np.where(draw.random(200) < share, 2, 1), "pages": draw.geometric(0.3, 200),
        "likes": draw.beta(1, 2, 200)})
    rows = list[tuple[str, str, pd.Timestamp, bool, int]]()
    for day in range(days):
        for user in draw.choice(200, 20, replace=False):
            by, pages, likes = users.loc[user]
            likes *= 1 - fewer * (by == 2)
            rows += [(f"l{user}", row_id(f"{day}-{user}-{page}", 1),
                      pd.Timestamp(START + day * DAY + timedelta(minutes=page)),
                      bool(draw.random() < likes), int(by)) for page in range(int(pages))]
    return pd.DataFrame(rows, columns=["listener", "event_id", "event_timestamp", "label",
                                       "model_version"])


def found(rows: pd.DataFrame) -> OwnPages:
    made = own_pages(SYSTEM, rows, np.ones(len(rows), np.bool_), TRIED)
    assert made is not None
    return made


def ever(seed: int, *, days: int, share: float, fewer: float) -> bool:
    """Whether there is evidence of harm on any of the days."""
    rows = shown(seed, days=days, share=share, fewer=fewer)
    ends = [pd.Timestamp(START + day * DAY) for day in range(1, days + 1)]
    return any(found(rows[rows["event_timestamp"] < end].reset_index(drop=True)).worse
               >= np.log(1 / LEVEL) for end in ends)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_equal_versions_are_left_alone_however_often_one_looks(share: float) -> None:
    alarms = sum(ever(seed, days=7, share=share, fewer=0.0) for seed in range(30))
    assert alarms <= 30 * LEVEL


def test_pages_that_nobody_takes_anything_of_are_found_within_days() -> None:
    assert sum(ever(seed, days=5, share=0.5, fewer=1.0) for seed in range(10)) >= 9


def test_each_user_counts_once_by_a_day_that_nothing_later_changes() -> None:
    rows = shown(1, days=3, share=0.5, fewer=0.0)
    both = found(rows)
    assert both.users + both.other_users == rows["listener"].nunique()
    first = rows.groupby("listener")["event_timestamp"].transform("min").dt.floor("D")
    changed = rows.assign(label=np.where(
        rows["event_timestamp"].dt.floor("D") > first, ~rows["label"], rows["label"]))
    assert found(changed) == both


@pytest.mark.parametrize("better", [0.0, -20.0], ids=["as good", "junk"])
def test_junk_leaves_its_trial_before_the_deadline_would_promote_it(
    settings: Settings, better: float
) -> None:
    """What it would show does not stand on the champion's pages, and its own have no order."""
    policy = replace(SYSTEM.rollout, at_deadline="promote", deadline=timedelta(days=2))
    pairs = served(settings, Promote(version=1), Canary(version=2, share=0.5), better=better)
    evidence = weighed(pairs, policy, step_at=START)
    # The leads find this junk too; of pages of which nothing is taken they have none.
    alone = replace(evidence, parts=evidence.parts[-1:])
    judged = judge_challenger(TRIED, alone, policy, now=START + 3 * DAY)
    if better:
        assert isinstance(judged.action, Withdraw) and judged.harmful
        assert "worse than version 1: of its own pages" in judged.reason
    else:
        assert isinstance(judged.action, Promote)


def test_a_shadow_has_no_pages_of_its_own(settings: Settings) -> None:
    pairs = served(settings, Promote(version=1), Shadow(version=2), better=-20.0)
    assert pairs.own is not None and (pairs.own.users, pairs.own.worse) == (0, 0.0)


def test_where_nobody_selects_there_is_nothing_to_say() -> None:
    assert own_pages(TOY, pd.DataFrame(), np.ones(0, np.bool_), TRIED) is None
