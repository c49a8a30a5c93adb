"""A feedback policy says whom it trusts, and refuses what could not mean anything."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from datetime import timedelta

import pytest

from ml_assets.core.errors import DeclarationError, TooOften
from ml_assets.core.feedback import Crowd, FeedbackLimit, FeedbackPolicy, TrustClass

HOUR = timedelta(hours=1)
STAFF = TrustClass(name="staff", sources=("boss", "analyst:"))
EXPERT = TrustClass(name="expert", sources=("analyst:ann", "analyst:lead:"), weight=5)
POLICY = FeedbackPolicy(trusted=(STAFF, EXPERT))


@pytest.mark.parametrize(
    ("source", "trust"),
    [
        ("boss", "staff"), ("analyst:bob", "staff"), ("analyst:ann", "expert"),
        ("analyst:lead:eve", "expert"), ("analyst:lead", "staff"), ("analyst:lead:", "staff"),
        ("analyst:", None), ("Boss", None), ("boss ", None), ("bos", None), ("bossy", None),
        ("the boss", None), ("analyst", None), ("", None), ("bo\u0455s", None),
    ],
)
def test_a_source_belongs_to_the_class_that_claims_most_of_its_name(
    source: str, trust: str | None
) -> None:
    """Nearly the name of a trusted source is anonymous."""
    found = POLICY.class_of(source)
    assert (found.name if found else None) == trust


def test_a_class_may_have_a_limit_of_its_own() -> None:
    """Who labels for a living says more than a customer."""
    busy = FeedbackLimit(words=10_000, window=HOUR)
    staff = TrustClass(name="staff", sources=("boss",), limit=busy)
    policy = FeedbackPolicy(trusted=(staff, EXPERT))
    assert policy.limit_of("boss") == busy
    assert policy.limit_of("analyst:ann") == policy.limit_of("anyone") == policy.limit


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda: TrustClass(name="anonymous", sources=("a",)), "TrustClass.name"),
        (lambda: TrustClass(name="two words", sources=("a",)), "TrustClass.name"),
        (lambda: TrustClass(name="staff", sources=()), "TrustClass.sources"),
        (lambda: TrustClass(name="staff", sources=("",)), "TrustClass.sources"),
        (lambda: TrustClass(name="staff", sources=(":",)), "TrustClass.sources"),
        (lambda: TrustClass(name="staff", sources=("a\n",)), "on one line"),
        (lambda: TrustClass(name="staff", sources=("a",), weight=0), "TrustClass.weight"),
        (lambda: TrustClass(name="staff", sources=("a",), weight=math.nan), "TrustClass.weight"),
        (lambda: Crowd(quorum=0.5), "Crowd.quorum"),
        (lambda: Crowd(quorum=math.inf), "Crowd.quorum"),
        (lambda: Crowd(newcomers_at_most=3), "less than the quorum"),
        (lambda: Crowd(newcomer_weight=2), "Crowd.newcomer_weight"),
        (lambda: Crowd(probation=-HOUR), "Crowd.probation"),
        (lambda: FeedbackLimit(words=0, window=HOUR), "FeedbackLimit.words"),
        (lambda: FeedbackLimit(words=1, window=timedelta(0)), "FeedbackLimit.window"),
        (lambda: FeedbackPolicy(crowd=None), "FeedbackPolicy.crowd"),
        (lambda: FeedbackPolicy(conflict="loudest"), "FeedbackPolicy.conflict"),  # type: ignore[arg-type]
        (lambda: FeedbackPolicy(trusted=(STAFF, STAFF)), "each name once"),
        (lambda: FeedbackPolicy(trusted=(STAFF, TrustClass(name="x", sources=("boss",)))),
         "each source in one class"),
    ],
)
def test_a_declaration_that_could_not_work_is_refused_by_name(
    declare: Callable[[], object], says: str
) -> None:
    """In particular, newcomers may never make up a quorum."""
    with pytest.raises(DeclarationError, match=says):
        declare()


def test_too_often_survives_pickling() -> None:
    """Dagster carries errors between processes."""
    again = pickle.loads(pickle.dumps(TooOften("wait", HOUR)))
    assert (str(again), again.retry_after) == ("wait", HOUR)
