"""Laws of who answers: one role for a version, no overlap, the champion keeps half."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given

from ml_assets.core.errors import RolloutRefused
from ml_assets.registry.changes import changed
from ml_assets.registry.rollout import (
    MOST,
    SLOTS,
    Canary,
    Challenger,
    Change,
    Promote,
    Rollout,
    Shadow,
)
from tests.strategies import changes, rollouts

ALONE = Rollout(version=1)


def after(state: Rollout | None, *actions: Change) -> Rollout:
    for number, action in enumerate(actions):
        state = changed(state, action, fresh_salt=f"salt {number}")
    assert state is not None
    return state


def slots_of(state: Rollout, version: int) -> set[int]:
    """In steps of a thousand, which all shares below are multiples of."""
    return {slot for each in state.challengers if each.version == version
            for start, end in each.slots for slot in range(start, end, 1000)}


@given(rollouts(), changes())
def test_no_change_leads_to_a_state_that_contradicts_itself(
    state: Rollout, change: Change
) -> None:
    """Each version has one role, slots are in range and disjoint, the champion has half."""
    try:
        new = changed(state, change, fresh_salt="fresh")
    except RolloutRefused:
        return
    assert len(set(new.named)) == len(new.named)
    ranges = [each for challenger in new.challengers for each in challenger.slots]
    assert all(0 <= start < end <= SLOTS for start, end in ranges)
    assert all(a[1] <= b[0] or b[1] <= a[0] for a, b in combinations(ranges, 2))
    assert new.share(new.version) >= 1 - MOST
    assert sum(new.share(version) for version in new.answering) == pytest.approx(1, abs=1e-12)


@given(rollouts(), changes())
def test_a_change_disturbs_no_challenger_but_its_own(state: Rollout, change: Change) -> None:
    """Slots that another challenger holds stay its own: nobody else changes sides."""
    try:
        new = changed(state, change, fresh_salt="fresh")
    except RolloutRefused:
        return
    for challenger in state.challengers:
        if challenger.version != change.version and challenger.version in new.answering:
            assert challenger in new.challengers


@given(rollouts(), changes())
def test_asked_for_twice_a_change_is_the_same_as_once(state: Rollout, change: Change) -> None:
    try:
        once = changed(state, change, fresh_salt="fresh")
        twice = changed(once, change, fresh_salt="fresh")
    except RolloutRefused:
        return
    assert twice == once


@pytest.mark.parametrize(("fewer", "more"), [(0.1, 0.25), (0.001, 0.5), (0.2, 0.2)])
def test_a_share_that_grows_keeps_its_slots_and_shrunk_again_gives_back_the_new_ones(
    fewer: float, more: float
) -> None:
    small = after(ALONE, Canary(version=2, share=fewer))
    large = after(small, Canary(version=2, share=more))
    assert slots_of(small, 2) <= slots_of(large, 2)
    assert large.share(2) == more
    assert after(large, Canary(version=2, share=fewer)) == small


def test_a_share_grows_around_the_others() -> None:
    state = after(ALONE, Canary(version=2, share=0.1), Canary(version=3, share=0.1),
                  Canary(version=2, share=0.2), Canary(version=3, share=0.3))
    assert state.challengers == (
        Challenger(version=2, slots=((0, 100_000), (200_000, 300_000))),
        Challenger(version=3, slots=((100_000, 200_000), (300_000, 500_000))),
    )
    freed = after(state, Canary(version=2, share=0), Canary(version=4, share=0.15))
    assert freed.challengers[1].slots == ((0, 100_000), (200_000, 250_000))


def test_a_promotion_swaps_the_champion_and_leaves_the_other_challengers() -> None:
    state = after(ALONE, Canary(version=2, share=0.1), Canary(version=3, share=0.2),
                  Shadow(version=4))
    swapped = after(state, Promote(version=2))
    assert (swapped.version, swapped.answering, swapped.shadows) == (2, (2, 3), (4,))
    assert (swapped.share(2), swapped.share(3)) == (0.8, 0.2)
    assert after(state, Promote(version=4)).shadows == ()
    assert after(state, Promote(version=3, alone=True)).answering == (3,)
    assert after(state, Promote(version=1)) == state


def test_a_version_moves_between_shadow_and_canary() -> None:
    shadowing = after(ALONE, Shadow(version=2))
    assert (shadowing.role(2), shadowing.role(1), shadowing.role(3)) == (
        "shadow", "champion", None)
    canary = after(shadowing, Canary(version=2, share=0.05))
    assert (canary.role(2), canary.shadows) == ("challenger", ())
    assert after(canary, Shadow(version=2)) == Rollout(version=1, shadows=(2,), salt=canary.salt)
    assert after(shadowing, Shadow(version=2, stop=True)) == ALONE


def test_the_first_challenger_draws_a_salt_and_others_keep_it_until_they_ask_for_another() -> None:
    """So not the same users are the first to meet every new model."""
    first = changed(ALONE, Canary(version=2, share=0.1), fresh_salt="a")
    second = changed(first, Canary(version=3, share=0.1), fresh_salt="b")
    assert (first.salt, second.salt) == ("a", "a")
    emptied = after(second, Canary(version=2, share=0), Canary(version=3, share=0))
    assert changed(emptied, Canary(version=2, share=0.1), fresh_salt="c").salt == "c"
    again = Canary(version=2, share=0.1, reshuffle=True)
    assert changed(second, again, fresh_salt="d").salt == "d"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (Canary(version=1, share=0.1), "version 1 is the champion; promote another"),
        (Shadow(version=1), "version 1 is the champion"),
        (Canary(version=4, share=0), "version 4 has no traffic; challengers: 2, 3"),
        (Shadow(version=4, stop=True), "version 4 is no shadow; shadows: 5"),
        (Canary(version=4, share=0.51), "the share is 0.51; expected more than 0 and at most 0.5"),
        (Canary(version=4, share=-0.1), "the share is -0.1; expected more than 0"),
        (Canary(version=4, share=float("nan")), "the share is nan"),
        (Canary(version=4, share=1e-7), "the share is 1e-07; the smallest is 1e-06"),
        (Canary(version=4, share=0.3), r"cannot have 30% of.*at most 50%; 20% is free"),
    ],
)
def test_a_contradiction_is_refused_with_what_is_in_force(change: Change, says: str) -> None:
    state = after(ALONE, Canary(version=2, share=0.1), Canary(version=3, share=0.2),
                  Shadow(version=5))
    with pytest.raises(RolloutRefused, match=says):
        changed(state, change, fresh_salt="fresh")


def test_without_a_champion_there_is_nothing_to_stand_beside() -> None:
    for change in (Canary(version=2, share=0.1), Shadow(version=2)):
        with pytest.raises(RolloutRefused, match="promote a version first"):
            changed(None, change, fresh_salt="fresh")
    assert changed(None, Promote(version=2), fresh_salt="fresh") == Rollout(version=2)
