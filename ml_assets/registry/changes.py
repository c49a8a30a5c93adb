"""What becomes of a rollout by a promotion, a canary or a shadow. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ml_assets.core.errors import RolloutRefused
from ml_assets.registry.rollout import (
    MOST,
    SLOTS,
    Approve,
    Canary,
    Challenger,
    Change,
    Promote,
    Rollout,
    Shadow,
    Slots,
    Withdraw,
    percent,
    size,
)


def changed(state: Rollout | None, change: Change, *, fresh_salt: str) -> Rollout:
    """The state after the change; `state` itself if the change says what is so already.

    fresh_salt: taken when the first challenger comes, so that not the same users are the
    first to meet every new model. Raises RolloutRefused.
    """
    if isinstance(change, Promote):
        return _promoted(state, change)
    if state is None:
        raise RolloutRefused(
            f"version {change.version} would stand beside a champion, and there is none yet: "
            "promote a version first"
        )
    if isinstance(change, Withdraw):
        return _withdrawn(state, change)
    if change.version == state.version:
        raise RolloutRefused(
            f"version {change.version} is the champion; promote another version, or roll back"
        )
    if isinstance(change, Approve):
        if change.version not in state.named:
            raise RolloutRefused(f"version {change.version} is not being tried; versions beside "
                                 f"the champion: {_listed(state.named[1:])}")
        return state
    if isinstance(change, Shadow):
        return _shadowed(state, change)
    return _shared(state, change, fresh_salt)


def _promoted(state: Rollout | None, change: Promote) -> Rollout:
    if state is None:
        return Rollout(version=change.version)
    staying = () if change.alone else tuple(
        each for each in state.challengers if each.version != change.version
    )
    shadows = _without(state.shadows, change.version)
    if change.watched and change.version != state.version:
        shadows = (*shadows, state.version)
    return Rollout(version=change.version, challengers=staying, salt=state.salt, shadows=shadows)


def _withdrawn(state: Rollout, change: Withdraw) -> Rollout:
    if change.version != state.version:
        return state.only([each for each in state.named if each != change.version])
    if change.instead is None or change.instead == change.version:
        raise RolloutRefused(f"version {change.version} is the champion; expected `instead`, the "
                             f"version that takes its place, found {change.instead}")
    return _promoted(state, Promote(version=change.instead))


def _shadowed(state: Rollout, change: Shadow) -> Rollout:
    others = tuple(each for each in state.challengers if each.version != change.version)
    if change.stop:
        if change.version not in state.shadows:
            raise RolloutRefused(f"version {change.version} is no shadow; shadows: "
                                 f"{_listed(state.shadows)}")
        return replace(state, shadows=_without(state.shadows, change.version))
    if change.version in state.shadows:
        return state
    return replace(state, challengers=others, shadows=(*state.shadows, change.version))


def _shared(state: Rollout, change: Canary, fresh_salt: str) -> Rollout:
    version, wanted = change.version, _slots_of(change.share)
    own = next((each.slots for each in state.challengers if each.version == version), ())
    others = tuple(each for each in state.challengers if each.version != version)
    if wanted == 0:
        if not own:
            raise RolloutRefused(f"version {version} has no traffic; challengers: "
                                 f"{_listed(state.answering[1:])}")
        return replace(state, challengers=others)
    free = int(MOST * SLOTS) - sum(size(each.slots) for each in others)
    if wanted > free:
        raise RolloutRefused(
            f"version {version} cannot have {percent(change.share)} of the traffic: all "
            f"challengers together have at most {percent(MOST)}; {percent(free / SLOTS)} is free. "
            "For all of it, promote the version"
        )
    taken = [each for other in others for each in other.slots]
    resized = Challenger(version=version, slots=_resized(own, wanted, taken))
    order = [each.version for each in state.challengers]
    at = order.index(version) if own else len(order)
    fresh = change.reshuffle or not state.challengers
    return Rollout(
        version=state.version, challengers=(*others[:at], resized, *others[at:]),
        shadows=_without(state.shadows, version), salt=fresh_salt if fresh else state.salt,
    )


def _slots_of(share: float) -> int:
    if not 0 <= share <= MOST:
        raise RolloutRefused(f"the share is {share:g}; expected more than 0 and at most {MOST:g}, "
                             "or 0 to take the version out")
    slots = round(share * SLOTS)
    if share > 0 and slots == 0:
        raise RolloutRefused(f"the share is {share:g}; the smallest is {1 / SLOTS:g}")
    return slots


def _resized(own: Slots, wanted: int, taken: Iterable[tuple[int, int]]) -> Slots:
    """`wanted` slots, none of them `taken`: those held the longest stay, the lowest free come."""
    kept: list[tuple[int, int]] = []
    for start, end in own:
        stop = min(end, start + wanted)
        if stop > start:
            kept.append((start, stop))
            wanted -= stop - start
    for start, end in _free((*taken, *kept)):
        stop = min(end, start + wanted)
        if stop == start:
            break
        if kept and kept[-1][1] == start:
            kept[-1] = (kept[-1][0], stop)
        else:
            kept.append((start, stop))
        wanted -= stop - start
    return tuple(kept)


def _free(taken: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    """The ranges between those taken, lowest first."""
    reached = 0
    for start, end in sorted(taken):
        if start > reached:
            yield reached, start
        reached = max(reached, end)
    if reached < SLOTS:
        yield reached, SLOTS


def _without(versions: tuple[int, ...], version: int) -> tuple[int, ...]:
    return tuple(each for each in versions if each != version)


def _listed(versions: Iterable[int]) -> str:
    return ", ".join(map(str, versions)) or "none"
