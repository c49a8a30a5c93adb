"""What every online store does, in LMDB and in Redis."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import NotReady
from ml_assets.features.engine import state
from ml_assets.features.online_store.backend import (
    NO_FLOOR,
    OWN,
    Backend,
    digest_of,
    floor_of,
    number_of,
)
from ml_assets.features.online_store.lmdb import expiring
from ml_assets.features.online_store.versions import NO_CREATED, Column, PlainView, versions_of
from tests.features.online_store.kit import (
    OpenBackend,
    happened,
    key,
    registered,
    rows_of,
    windowed,
)

_projects = itertools.count()

COUNTS = windowed(("count", "", 12, 3), lateness=6)
PROFILE = PlainView(name="profile", keys=("customer",), columns=(Column("age", "Int64"),))


def count_as_of(backend: Backend, entity: int, t: int, view_id: int) -> float:
    blobs = backend.get(view_id, [key(entity)])
    return float(state.read(COUNTS, blobs, np.array([t]))[0, 0])


def versions(backend: Backend, view_id: int, entity: bytes = b"ann") -> list[tuple[int, bytes]]:
    (blob,) = backend.get(view_id, [entity])
    return [(at, payload) for at, _, payload in versions_of(blob or b"")]


# Windows


def test_an_event_counts_once_however_often_it_is_applied(backend: Backend) -> None:
    view_id = registered(backend, COUNTS)
    rows = rows_of(COUNTS, [happened(at, id=str(at)) for at in range(5)])
    assert backend.append(COUNTS, view_id, rows) == 5
    assert backend.append(COUNTS, view_id, rows) == 0
    again = [*rows, *rows, *rows_of(COUNTS, [happened(5), happened(5)])]
    assert backend.append(COUNTS, view_id, again) == 1
    assert count_as_of(backend, 0, 6, view_id) == 6


def test_the_same_id_counts_for_each_entity(backend: Backend) -> None:
    view_id = registered(backend, COUNTS)
    rows = rows_of(COUNTS, [happened(1, id="a"), happened(1, id="a", entity=1)])
    assert backend.append(COUNTS, view_id, rows) == 2
    assert [count_as_of(backend, entity, 2, view_id) for entity in (0, 1, 2)] == [1, 1, 0]
    assert backend.count(view_id) == 2


def test_an_event_that_comes_again_with_another_instant_still_counts_once(
    backend: Backend,
) -> None:
    view_id = registered(backend, COUNTS)
    backend.append(COUNTS, view_id, rows_of(COUNTS, [happened(1, id="a")]))
    assert backend.append(COUNTS, view_id, rows_of(COUNTS, [happened(900, id="a")])) == 0


def test_folding_keeps_what_was_counted(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also ids of events that are folded away are remembered."""
    monkeypatch.setattr(state, "FOLD_ROWS", 4)
    view_id = registered(backend, COUNTS)
    rows = rows_of(COUNTS, [happened(at) for at in range(12)])
    for row in rows:
        backend.append(COUNTS, view_id, [row])
    (blob,) = backend.get(view_id, [key(0)])
    assert blob is not None
    assert state.oldest(blob) > state.NEVER
    assert backend.append(COUNTS, view_id, rows) == 0
    assert count_as_of(backend, 0, 12, view_id) == 12


def test_long_batches_are_applied_like_short_ones(backend: Backend) -> None:
    view_id = registered(backend, COUNTS)
    rows = rows_of(COUNTS, [
        happened(at, entity=at % 7, id=str(at // 2)) for at in range(3000)
    ])
    Random(1).shuffle(rows)
    added = backend.append(COUNTS, view_id, rows)
    assert added == len({(entity, uid) for entity, _, uid, _ in rows})
    assert backend.append(COUNTS, view_id, rows) == 0


def test_expiry_drops_the_idle_and_old_ids_and_raises_the_floor(backend: Backend) -> None:
    view_id = registered(backend, COUNTS)
    old = rows_of(COUNTS, [happened(5), happened(6, entity=1), happened(90, entity=1)])
    backend.append(COUNTS, view_id, old)
    # Exact from 100 - 6 = 94 on, in tiles from 93; such windows reach back to 93 - 12 = 81.
    assert backend.expire(COUNTS, view_id, 100) == 1
    assert backend.get(view_id, [key(0)]) == [None]
    assert backend.count(view_id) == 1
    assert floor_of(backend.get(view_id, [OWN])[0], "shopping") == 93
    assert count_as_of(backend, 1, 100, view_id) == 1
    # Their ids are forgotten, but they are too old to matter.
    assert backend.append(COUNTS, view_id, old) == 0
    assert backend.expire(COUNTS, view_id, 50) == 0
    assert floor_of(backend.get(view_id, [OWN])[0], "shopping") == 93


def test_expiry_folds_old_tiles_away(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiring, "SMALL", 0)
    view = windowed(("sum", "amount", 300, 3), lateness=6)
    view_id = registered(backend, view)
    backend.append(view, view_id, rows_of(view, [happened(at) for at in range(0, 600, 3)]))
    (before,) = backend.get(view_id, [key(0)])
    assert backend.expire(view, view_id, 800) == 0
    (after,) = backend.get(view_id, [key(0)])
    assert before is not None
    assert after is not None
    assert len(after) < len(before)
    for t in (795, 800, 850):
        as_of = np.array([t])
        assert state.read(view, [after], as_of) == state.read(view, [before], as_of)


# Plain views


def test_the_two_latest_versions_are_kept_in_whatever_order_they_come(backend: Backend) -> None:
    """Of one instant the version that was created last is the one."""
    rows = [
        (1, 10, b"oldest"), (2, 10, b"wrong"), (2, 11, b"corrected"), (3, 5, b"newest"),
    ]
    view_id = registered(backend, PROFILE)
    orders = list(itertools.permutations(rows))
    backend.put(view_id, [
        (b"together %d" % place, *row) for place, order in enumerate(orders) for row in order
    ])
    for turn in range(len(rows)):
        backend.put(view_id, [
            (b"apart %d" % place, *order[turn]) for place, order in enumerate(orders)
        ])
    for place in range(len(orders)):
        for name in (b"together %d", b"apart %d"):
            assert versions(backend, view_id, name % place) == [(3, b"newest"), (2, b"corrected")]


def test_versions_ahead_of_now_are_kept_beside_the_two_latest_until_their_time(
    backend: Backend
) -> None:
    view_id = registered(backend, PROFILE)
    for at in (10, 60, 40, 20, 50, 30):
        backend.put(view_id, [(b"ann", at, 0, b"%d" % at)], now=35)
    assert [at for at, _ in versions(backend, view_id)] == [60, 50, 40, 30, 20]
    backend.put(view_id, [(b"ann", 45, 0, b"45")], now=55)
    assert [at for at, _ in versions(backend, view_id)] == [60, 50, 45]
    backend.put(view_id, [(b"ann", 55, 0, b"55")], now=70)
    assert [at for at, _ in versions(backend, view_id)] == [60, 55]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.tuples(
    st.integers(0, 2), st.integers(0, 9), st.integers(0, 2), st.integers(0, 3), st.integers(1, 3)
), max_size=20))
def test_at_any_later_time_the_latest_version_at_or_before_it_is_there(
    open_backend: OpenBackend, rows: list[tuple[int, int, int, int, int]]
) -> None:
    """Whatever came in what order, of the past or of the future; so many rows at once."""
    backend = open_backend(f"versions {next(_projects)}")
    view_id, now = registered(backend, PROFILE), 0
    came: list[tuple[bytes, int, int, bytes]] = []
    while len(came) < len(rows):
        *_, passed, together = rows[len(came)]
        now += passed
        some = [
            (b"%d" % entity, at, created, b"%d" % (len(came) + place))
            for place, (entity, at, created, _, _)
            in enumerate(rows[len(came) : len(came) + together])
        ]
        backend.put(view_id, some, now=now)
        came += some
    for entity in (b"0", b"1", b"2"):
        kept = versions(backend, view_id, entity)
        for t in range(now, 10):
            known = [
                ((at, created, place), payload)
                for place, (of, at, created, payload) in enumerate(came) if of == entity and at <= t
            ]
            assert next((payload for at, payload in kept if at <= t), None) == (
                max(known)[1] if known else None
            )


def test_of_versions_that_cannot_be_told_apart_the_last_one_counts(backend: Backend) -> None:
    view_id = registered(backend, PROFILE)
    backend.put(view_id, [(b"ann", 1, NO_CREATED, b"first"), (b"ann", 1, NO_CREATED, b"second")])
    assert versions(backend, view_id) == [(1, b"second")]
    backend.put(view_id, [(b"ann", 1, 7, b"dated"), (b"ann", 1, NO_CREATED, b"undated")])
    assert versions(backend, view_id) == [(1, b"dated")]


def test_many_rows_are_put_at_once(backend: Backend) -> None:
    view_id = registered(backend, PROFILE)
    backend.put(view_id, ((b"%d" % place, 1, 0, b"x" * (place % 9)) for place in range(3000)))
    assert backend.count(view_id) == 3000
    assert versions(backend, view_id, b"2005") == [(1, b"x" * 7)]


def test_rows_past_their_time_to_live_expire(backend: Backend) -> None:
    view = replace(PROFILE, ttl=10)
    view_id = registered(backend, view)
    backend.put(view_id, [(b"ann", 5, 0, b"old"), (b"bob", 15, 0, b"new")])
    assert backend.expire(view, view_id, 20) == 1
    assert backend.get(view_id, [b"ann", b"bob"])[0] is None
    assert backend.count(view_id) == 1


# Views


def test_a_changed_definition_starts_anew_and_shuts_out_those_who_use_the_old_one(
    open_backend: OpenBackend,
) -> None:
    backend, other = open_backend(), open_backend()
    old_id = registered(backend, COUNTS)
    backend.append(COUNTS, old_id, rows_of(COUNTS, [happened(1)]))
    changed = windowed(("count", "", 24, 3))
    new_id = registered(backend, changed)
    assert new_id != old_id
    assert backend.count(new_id) == 0
    assert backend.get(old_id, [OWN, key(0)]) == [None, None]
    with pytest.raises(NotReady, match="no feature view 'shopping' as this process knows it"):
        other.append(COUNTS, old_id, rows_of(COUNTS, [happened(2)]))
    with pytest.raises(NotReady, match="no feature view 'shopping'"):
        number_of(other, COUNTS)
    assert number_of(other, changed) == new_id


def test_an_unchanged_definition_keeps_its_data(backend: Backend) -> None:
    view_id = registered(backend, COUNTS)
    backend.append(COUNTS, view_id, rows_of(COUNTS, [happened(1)]))
    assert registered(backend, COUNTS) == view_id
    # How it is read is no part of what is kept.
    assert registered(backend, replace(COUNTS, lateness=1, refresh="slide")) == view_id
    assert backend.count(view_id) == 1
    assert backend.views()["shopping"] == (view_id, digest_of(COUNTS))


def test_a_dropped_view_leaves_nothing_and_takes_nothing(backend: Backend) -> None:
    view_id, other = registered(backend, PROFILE), registered(backend, COUNTS)
    backend.put(view_id, [(b"ann", 1, 0, b"x")])
    backend.append(COUNTS, other, rows_of(COUNTS, [happened(1)]))
    backend.drop(view_id)
    assert list(backend.views()) == ["shopping"]
    assert backend.count(view_id) == 0
    assert backend.count(other) == 1
    with pytest.raises(NotReady):
        backend.put(view_id, [(b"ann", 1, 0, b"x")])
    with pytest.raises(NotReady):
        backend.expire(PROFILE, view_id, 5)


def test_projects_do_not_see_each_other(open_backend: OpenBackend) -> None:
    one, other = open_backend("one"), open_backend("other")
    first, second = registered(one, COUNTS), registered(other, COUNTS)
    one.append(COUNTS, first, rows_of(COUNTS, [happened(1)]))
    assert other.get(second, [key(0)]) == [None]
    one.drop(first)
    assert list(other.views()) == ["shopping"]


def test_several_views_are_read_in_one_round_trip(backend: Backend) -> None:
    windows, rows = registered(backend, COUNTS), registered(backend, PROFILE)
    backend.append(COUNTS, windows, rows_of(COUNTS, [happened(1)]))
    backend.put(rows, [(b"%d" % place, 1, 0, b"%d" % place) for place in range(2000)])
    keys = [b"%d" % place for place in range(1999, -1, -1)]
    found = backend.get_many([(windows, [b"nobody", key(0), OWN]), (rows, []), (rows, keys)])
    assert found[0][0] is None
    assert found[0][1] is not None
    assert floor_of(found[0][2], "shopping") == NO_FLOOR
    assert found[1] == []
    assert [versions_of(blob or b"")[0][2] for blob in found[2]] == keys


def test_without_the_client_of_redis_it_is_said_what_to_install() -> None:
    """And nothing else of the stores needs it."""
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "import ml_assets.features.online_store.following.projection\n"
        "import ml_assets.features.online_store.reader\n"
        "assert 'feast' not in sys.modules\n"
        "import ml_assets.features.online_store.redis.backend\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "NotReady" in found.stderr
    assert "pip install 'ml-assets[redis]'" in found.stderr
