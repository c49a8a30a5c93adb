"""Laws of routing: sticky, exact in expectation, monotone, reshuffled by a new salt."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.registry.changes import changed
from ml_assets.registry.rollout import SLOTS, Canary, Rollout
from ml_assets.registry.routing import arm, propensity, slot, sticky_key
from tests.strategies import rollouts
from tests.toy import TOY

KEYS = [f"someone{n}@example.org" for n in range(20_000)]


def with_shares(*shares: float, salt: str = "s") -> Rollout:
    """Champion 1, and challengers 2, 3 ... with these shares."""
    state = Rollout(version=1)
    for version, share in enumerate(shares, 2):
        state = changed(state, Canary(version=version, share=share), fresh_salt=salt)
    return state


@given(rollouts(), st.text())
def test_a_key_is_answered_by_one_of_those_that_answer_and_always_by_the_same(
    state: Rollout, key: str
) -> None:
    version = arm(state, key)
    assert version in state.answering
    assert arm(replace(state), key) == version
    assert 0 < propensity(state, version) <= 1


@given(rollouts())
def test_propensities_are_the_exact_measure_of_the_slots(state: Rollout) -> None:
    """Counted over boundaries: every slot belongs to one version, and shares are their sums."""
    owned = dict.fromkeys(state.answering, 0)
    for challenger in state.challengers:
        owned[challenger.version] = sum(end - start for start, end in challenger.slots)
    owned[state.version] = SLOTS - sum(owned.values())
    for version, slots in owned.items():
        assert propensity(state, version) == slots / SLOTS
    assert all(propensity(state, version) == 0 for version in state.shadows)


@pytest.mark.parametrize("shares", [(0.1,), (0.01, 0.02), (0.2, 0.2, 0.1)])
def test_as_many_keys_meet_a_version_as_its_share_says(shares: tuple[float, ...]) -> None:
    """Within four standard deviations; the keys are fixed, so this never fails by chance."""
    state = with_shares(*shares)
    met = [arm(state, key) for key in KEYS]
    for version in state.answering:
        share = propensity(state, version)
        deviation = sqrt(share * (1 - share) * len(KEYS))
        assert abs(met.count(version) - share * len(KEYS)) < 4 * deviation


@pytest.mark.parametrize(("fewer", "more"), [(0.01, 0.1), (0.1, 0.4)])
def test_raising_a_share_keeps_those_who_have_it_and_moves_nobody_between_challengers(
    fewer: float, more: float
) -> None:
    small = with_shares(fewer, 0.1)
    large = changed(small, Canary(version=2, share=more), fresh_salt="unused")
    moves = {(arm(small, key), arm(large, key)) for key in KEYS}
    assert moves == {(1, 1), (2, 2), (3, 3), (1, 2)}


def test_a_new_salt_draws_anew_and_independently() -> None:
    state = with_shares(0.1)
    other = replace(state, salt="another")
    both = sum(arm(state, key) == arm(other, key) == 2 for key in KEYS)
    assert abs(both - 0.01 * len(KEYS)) < 4 * sqrt(0.01 * 0.99 * len(KEYS))


def test_systems_draw_for_themselves_and_a_slot_stays_what_it_was_in_earlier_releases() -> None:
    """The hash is part of the record's meaning: another one would move every user."""
    assert [slot("toy 2", key) for key in ("", "corner", "\ud800")] == SLOTS_OF_OLD
    assert slot("toy 2", "corner") != slot("spam 2", "corner")


SLOTS_OF_OLD = [482_477, 798_228, 245_258]


@given(st.text() | st.just("\udfff"), st.text())
def test_every_text_has_a_slot(salt: str, key: str) -> None:
    assert 0 <= slot(salt, key) < SLOTS


def test_the_declared_entity_decides_and_where_it_is_unknown_the_event() -> None:
    assert sticky_key(TOY, {"shop": "corner"}, "e1") == "corner"
    assert sticky_key(TOY, {"shop": ""}, "e1") == "e1"
    assert sticky_key(replace(TOY, sticky_by=None), {"shop": "corner"}, "e1") == "e1"
