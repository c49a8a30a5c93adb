"""Laws of the order in which the offline engine puts events."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.features.engine.events import Events
from ml_assets.features.engine.timeline import arrange, number, repeated

MIX = 0x9E3779B97F4A7C15

people = st.one_of(st.integers(-1, 3), st.integers(0, 2**62))


def some_events(size: int, chance: np.random.Generator) -> Events:
    return Events(
        entity=chance.integers(-1, 4, size), at=chance.integers(-5, 5, size),
        uid=chance.integers(0, 2**64, size, dtype=np.uint64), values={},
    )


@given(st.lists(people, max_size=8), st.lists(people.map(abs), min_size=1, max_size=8))
@settings(deadline=None)
def test_numbers_are_dense_and_the_same_for_an_entity(
    known: list[int], asked: list[int]
) -> None:
    theirs, whose = number(np.array(known, dtype=np.int64), np.array(asked, dtype=np.int64))
    names = dict(zip(asked, whose.tolist(), strict=True))
    assert sorted(names.values()) == list(range(len(names)))
    assert theirs.tolist() == [names.get(each, -1) for each in known]


@given(st.integers(0, 40), st.integers(0, 2**32), st.integers(-6, 6), st.integers(-6, 6))
@settings(deadline=None)
def test_events_are_in_order_and_every_instant_is_found(
    size: int, seed: int, since: int, until: int
) -> None:
    events = some_events(size, np.random.default_rng(seed))
    line = arrange(events, events.entity, since=since, until=until, by_uid=True)
    pairs = list(zip(
        events.entity.tolist(), events.at.tolist(), events.uid.tolist(), range(size), strict=True
    ))
    expected = sorted(each for each in pairs if each[0] >= 0 and since <= each[1] < until)
    assert line.row.tolist() == [each[3] for each in expected]
    for entity in range(4):
        for instant in range(since, until + 1):
            before = line.before(np.array([entity]), np.array([instant]))
            assert before == sum(each[:2] < (entity, instant) for each in expected)


def test_of_one_entity_and_id_the_first_in_order_counts() -> None:
    entity, uid = np.array([1, 1, 2, 1, 2]), np.array([7, 8, 7, 7, 7], dtype=np.uint64)
    assert repeated(entity, uid).tolist() == [3, 4]


def test_events_that_only_look_alike_all_count() -> None:
    """What pairs of entity and uid are mixed to may collide."""
    uid = np.array([5 ^ (1 * MIX) ^ (2 * MIX % 2**64), 5], dtype=np.uint64)
    assert not len(repeated(np.array([1, 2]), uid))
    assert not len(repeated(np.array([2, 1]), uid))
