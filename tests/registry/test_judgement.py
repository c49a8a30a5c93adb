"""What evidence does to a version that is tried, and what the record says of its trial."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import log
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import DeclarationError
from ml_assets.core.policies import RolloutPolicy
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.judgement import (
    Evidence,
    PartEvidence,
    judge_challenger,
    judge_champion,
)
from ml_assets.registry.rollout import (
    Action,
    Approve,
    Canary,
    Promote,
    Rollback,
    Shadow,
    Withdraw,
)
from ml_assets.registry.trials import Tried, challenged, superseded, watched

AT = datetime(2024, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = RolloutPolicy(shares=(0.1, 0.5), step_labels=100)
SURE = log(1e6)


def part(name: str | None = None, *, better: float = 0.0, worse: float = 0.0,
         pairs: int = 400) -> PartEvidence:
    return PartEvidence(name=name, pairs=pairs, lead=0.01, low=-0.01, high=0.03, better=better,
                        worse=worse)


def evidence(*parts: PartEvidence, step_pairs: int = 0) -> Evidence:
    return Evidence(parts=parts or (part(),), step_pairs=step_pairs)


def tried(share: float = 0.0, *, days: float = 3, approved: bool = False) -> Tried:
    return Tried(version=2, reference=1, since=AT - days * DAY, step_at=AT - min(days, 2) * DAY,
                 share=share, approved=approved)


def action(of: Tried, seen: Evidence, policy: RolloutPolicy = POLICY, trials: int = 1
           ) -> Action | None:
    return judge_challenger(of, seen, policy, now=AT, trials=trials).action


def test_evidence_of_improvement_takes_every_step_and_promotes_after_the_last() -> None:
    seen = evidence(part(better=SURE))
    assert action(tried(0.0), seen) == Canary(version=2, share=0.1)
    assert action(tried(0.1), seen) == Canary(version=2, share=0.5)
    assert action(tried(0.5), seen) == Promote(version=2, watched=True)
    assert action(tried(0.0), seen, replace(POLICY, shares=())) == Promote(version=2, watched=True)
    assert action(tried(0.1, days=0.5), seen) is None  # a step lasts a day
    unwatched = replace(POLICY, watch=timedelta(0))
    assert action(tried(0.5), seen, unwatched) == Promote(version=2)


def test_without_evidence_a_step_takes_its_outcomes_and_promotion_waits() -> None:
    assert action(tried(0.0), evidence(step_pairs=99)) is None
    assert action(tried(0.0), evidence(step_pairs=100)) == Canary(version=2, share=0.1)
    assert action(tried(0.5), evidence(step_pairs=10_000)) is None


def test_harm_on_all_rows_or_on_a_slice_ends_the_trial_whatever_is_better() -> None:
    seen = evidence(part(better=SURE), part("night", worse=log(2 / 0.05)))
    judged = judge_challenger(tried(0.5), seen, POLICY, now=AT)
    assert judged.action == Withdraw(version=2) and judged.harmful
    assert "on night its loss is" in judged.reason
    # The level is split: what is enough for one test is not for one of two.
    assert action(tried(0.5), evidence(part(), part("night", worse=log(1.9 / 0.05)))) is None
    assert action(tried(0.5), evidence(part(worse=log(1 / 0.05)))) == Withdraw(version=2)


def test_versions_that_are_tried_at_once_share_the_level() -> None:
    seen = evidence(part(better=log(1.5 / 0.05)))
    assert action(tried(0.5), seen) == Promote(version=2, watched=True)
    assert action(tried(0.5), seen, trials=2) is None


def test_the_declared_default_decides_at_the_deadline() -> None:
    late = tried(0.1, days=28)
    assert action(late, evidence()) == Withdraw(version=2)
    fresh = replace(POLICY, at_deadline="promote")
    assert action(late, evidence(), fresh) == Promote(version=2, watched=True)
    assert action(late, evidence(part(worse=SURE)), fresh) == Withdraw(version=2)
    assert action(tried(0.1, days=27), evidence(), fresh) is None


def test_a_deadline_promotes_nobody_on_fewer_outcomes_than_declared() -> None:
    """None came, or few: the trial goes on, and says why. Harm and improvement count as ever."""
    fresh = replace(POLICY, at_deadline="promote", deadline_labels=20)
    late, promoted = tried(0.5, days=400), Promote(version=2, watched=True)
    none = (Evidence(), Evidence(missing="nothing bounds its losses"), evidence(part(pairs=0)))
    for seen in (*none, evidence(part(pairs=19))):
        judged = judge_challenger(late, seen, fresh, now=AT)
        assert judged.action is None
        assert f"{seen.pairs} paired outcomes are too few" in judged.reason
        assert "it waits for 20" in judged.reason
        assert action(late, seen, replace(fresh, deadline_labels=0)) == promoted
        assert action(late, seen) == Withdraw(version=2), "who keeps the champion needs none"
    assert action(late, evidence(part(pairs=20)), fresh) == promoted
    assert action(late, evidence(part(pairs=5, better=SURE)), fresh) == promoted
    assert action(late, evidence(part(pairs=5, worse=SURE)), fresh) == Withdraw(version=2)


def test_a_promotion_waits_for_approval_if_it_is_declared() -> None:
    careful, seen = replace(POLICY, approval=True), evidence(part(better=SURE))
    judged = judge_challenger(tried(0.5), seen, careful, now=AT)
    assert judged.action is None and "it waits for approval" in judged.reason
    assert action(tried(0.5, approved=True), seen, careful) == Promote(version=2, watched=True)


def test_without_bounds_nothing_is_decided_but_the_deadline() -> None:
    blind = Evidence(missing="version 2 has no evaluation that bounds its losses")
    judged = judge_challenger(tried(), blind, POLICY, now=AT)
    assert judged.action is None and "no evaluation" in judged.reason
    assert action(tried(days=28), blind) == Withdraw(version=2)


def test_a_new_champion_is_sent_back_on_evidence_or_its_predecessor_retires() -> None:
    new = Tried(version=2, reference=1, since=AT - 5 * DAY, step_at=AT - 5 * DAY, share=1.0)
    judged = judge_champion(new, evidence(part(worse=SURE)), POLICY, now=AT)
    assert judged.action == Withdraw(version=2, instead=1) and judged.harmful
    assert judged.reason.startswith("version 1 is back, version 2 is worse: its loss is")
    assert judge_champion(new, evidence(), POLICY, now=AT).action is None
    over = judge_champion(new, evidence(), POLICY, now=AT + 9 * DAY)
    assert over.action == Shadow(version=1, stop=True)


@pytest.fixture
def deployments(tmp_path: Path) -> Deployments:
    return Deployments(tmp_path / "deployments.sqlite")


def after(deployments: Deployments, *actions: Action) -> list[Deployment]:
    """One action a day."""
    for each in actions:
        day = len(deployments.history("toy"))
        deployments.act("toy", each, reason="r", by="b", at=AT + day * DAY)
    return deployments.history("toy")


def test_a_trial_lasts_from_the_shadow_on_whatever_its_share(deployments: Deployments) -> None:
    history = after(deployments, Promote(version=1), Shadow(version=2),
                    Canary(version=2, share=0.1), Shadow(version=3))
    assert challenged(history) == [
        Tried(version=2, reference=1, since=AT + DAY, share=0.1, step_at=AT + 2 * DAY),
        Tried(version=3, reference=1, since=AT + 3 * DAY, share=0.0, step_at=AT + 3 * DAY),
    ]
    approved = challenged(after(deployments, Approve(version=2)))[0]
    assert approved.approved and approved.step_at == AT + 2 * DAY


def test_a_new_champion_is_watched_and_others_are_compared_with_it_anew(
    deployments: Deployments,
) -> None:
    history = after(deployments, Promote(version=1), Canary(version=2, share=0.5),
                    Shadow(version=3), Promote(version=2, watched=True))
    assert watched(history) == Tried(version=2, reference=1, since=AT + 3 * DAY, share=1.0,
                                     step_at=AT + 3 * DAY)
    assert challenged(history) == [Tried(version=3, reference=2, since=AT + 3 * DAY, share=0.0,
                                         step_at=AT + 2 * DAY)]
    history = after(deployments, Withdraw(version=2, instead=1))
    assert watched(history) is None
    assert [each.reference for each in challenged(history)] == [1]


def test_a_champion_that_is_replaced_while_it_is_watched_leaves_its_predecessor_behind(
    deployments: Deployments,
) -> None:
    history = after(deployments, Promote(version=1), Promote(version=2, watched=True),
                    Promote(version=3, watched=True))
    new = watched(history)
    assert new is not None and (new.version, new.reference) == (3, 2)
    assert superseded(history) == [1] and challenged(history) == []


def test_a_person_may_try_a_former_champion_again(deployments: Deployments) -> None:
    history = after(deployments, Promote(version=1), Promote(version=2), Shadow(version=1))
    assert [each.version for each in challenged(history)] == [1]
    assert watched(history) is None and superseded(history) == []


STEPS = st.lists(st.sampled_from([
    ("better", SURE, 0.0), ("worse", 0.0, SURE), ("nothing", 0.0, 0.0)]), max_size=12)


@given(STEPS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_whatever_the_evidence_each_decision_can_be_recorded_and_asked_again(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, float, float]], again: bool
) -> None:
    """A crash after a record and before anything else loses nothing: all is read from it."""
    path = tmp_path_factory.mktemp("trial") / "d.sqlite"
    Deployments(path).act("toy", Promote(version=1), reason="r", by="b", at=AT)
    Deployments(path).act("toy", Shadow(version=2), reason="r", by="b", at=AT)
    for day, (_, better, worse) in enumerate(steps, 1):
        for _ in range(1 + again):
            history = Deployments(path).history("toy")
            now, seen = AT + day * DAY, evidence(part(better=better, worse=worse))
            for each in challenged(history):
                judged = judge_challenger(each, seen, POLICY, now=now)
                if judged.action is not None:
                    Deployments(path).act("toy", judged.action, reason=judged.reason, by="b",
                                          at=now, expecting=history[-1].id)
    final = Deployments(path).history("toy")
    names, better = [name for name, *_ in steps], 0
    for name in names:
        if name == "worse":
            break
        better += name == "better"
    assert (final[-1].version == 2) == (better >= 3)
    # However often it was asked, a day's evidence was acted upon once.
    assert len(final) <= 2 + len(steps)
    assert all(each.action != "rollback" for each in final)


@pytest.mark.parametrize(("wrong", "said"), [
    ({"shares": (0.5, 0.1)}, "rising shares"), ({"shares": (0.6,)}, "rising shares"),
    ({"level": 0.0}, "a chance"), ({"worse_by": -1.0}, "0 or more"),
    ({"at_deadline": "perhaps"}, "keep"), ({"deadline_labels": -1}, "0 or more"),
])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        RolloutPolicy(**wrong)  # type: ignore[arg-type]


def test_what_a_person_rolled_back_is_not_promoted_again(deployments: Deployments) -> None:
    """The evidence has not changed, and the person knew it."""
    history = after(deployments, Promote(version=1), Shadow(version=2),
                    Promote(version=2, watched=True), Rollback())
    assert history[-1].named == (1, 2)
    assert challenged(history) == [] and superseded(history) == [2]
