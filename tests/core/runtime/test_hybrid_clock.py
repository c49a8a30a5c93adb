"""Whatever is done to the clock, what it assigns only grows, and what was done is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.runtime.hybrid_clock import JUMP, NEWS_SECONDS, STEP, HybridClock, uptime

NOON = datetime(2024, 1, 9, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass(kw_only=True)
class Machine:
    """A clock that somebody sets, and the seconds that nobody does."""

    at: datetime = NOON
    seconds: float = 1000.0
    paced: bool = True

    def pass_(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds

    def hybrid(self) -> HybridClock:
        return HybridClock(lambda: self.at, elapsed=lambda: self.seconds,
                           paced=lambda: self.paced)


def test_a_clock_that_runs_is_followed_to_the_microsecond() -> None:
    machine = Machine()
    clock = machine.hybrid()
    for seconds in (0.0, 0.000001, 5.0, 86_400.0, 0.0):
        machine.pass_(seconds)
        assert clock.assign() == clock.now() == machine.at
    assert not clock.jumps and clock.warning() is None


def test_while_the_clock_is_behind_instants_go_on_by_microseconds() -> None:
    machine = Machine()
    clock = machine.hybrid()
    first = clock.assign()
    machine.at -= HOUR
    assert [clock.assign() for _ in range(3)] == [first + n * STEP for n in (1, 2, 3)]
    assert clock.now() == first + 3 * STEP and clock.reading == NOON - HOUR
    assert dict(clock.jumps) == {"back": 1}
    assert "11:00:00" in str(clock.warning()) and "12:00:00" in str(clock.warning())
    machine.pass_(3500)
    assert clock.assign() == first + 4 * STEP
    machine.pass_(101)
    assert clock.assign() == machine.at
    assert clock.warning() is None and clock.jumps.total() == 1


def test_a_jump_ahead_is_followed_and_told() -> None:
    machine = Machine()
    clock = machine.hybrid()
    clock.assign()
    machine.at += HOUR
    assert clock.assign() == machine.at
    assert dict(clock.jumps) == {"ahead": 1}
    assert "jumped ahead by 3,600 s" in str(clock.warning())
    machine.pass_(NEWS_SECONDS)
    assert clock.now() == machine.at and clock.warning() is None


def test_a_jump_is_seen_although_nobody_asked_for_hours() -> None:
    """It went back by one hour of two: what was assigned before is not affected."""
    machine = Machine()
    clock = machine.hybrid()
    clock.assign()
    machine.pass_(7200)
    machine.at -= HOUR
    assert clock.assign() == machine.at
    assert dict(clock.jumps) == {"back": 1}


def test_a_clock_that_a_replay_moves_ahead_has_not_jumped() -> None:
    """It stands while time passes, and is set to the next event; back it never goes."""
    machine = Machine(paced=False)
    clock = machine.hybrid()
    for hours in (0, 1, 1, 50):
        machine.at = NOON + hours * HOUR
        machine.seconds += 30
        clock.assign()
    assert not clock.jumps
    machine.at = NOON
    assert clock.assign() > NOON + 50 * HOUR
    assert dict(clock.jumps) == {"back": 1}


def test_what_an_earlier_process_assigned_is_not_assigned_again() -> None:
    clock = Machine().hybrid()
    clock.hear(None)
    clock.hear(NOON + HOUR)
    clock.hear(NOON - HOUR)
    assert clock.assign() == NOON + HOUR + STEP
    assert dict(clock.jumps) == {"back": 1} and clock.warning() is not None


@given(st.lists(st.tuples(
    st.timedeltas(-30 * HOUR, 30 * HOUR) | st.just(timedelta(0)),
    st.floats(0, 1e5), st.none() | st.timedeltas(-HOUR, HOUR),
)))
def test_no_instant_is_assigned_before_another_nor_twice_unless_the_clock_stands(
    moves: list[tuple[timedelta, float, timedelta | None]]
) -> None:
    machine = Machine()
    clock = machine.hybrid()
    assigned = [clock.assign()]
    for moved, passed, heard in moves:
        machine.pass_(passed)
        machine.at += moved
        before = clock.jumps.total()
        clock.hear(None if heard is None else assigned[-1] + heard)
        assigned.append(clock.assign())
        assert assigned[-1] >= machine.at
        if abs(moved) > JUMP:
            assert clock.jumps.total() == before + 1
        assert assigned[-1] > assigned[-2] or assigned[-1] == machine.at
    assert all(earlier <= later for earlier, later in pairwise(assigned))


def test_uptime_goes_on() -> None:
    assert 0 < uptime() <= uptime()
