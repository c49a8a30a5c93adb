"""The journal of the online store: what is packed comes out again, and old files get one."""

from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.sqlite.backend import SqliteState
from ml_assets.features.online_store.sqlite.blob_cache import UNKNOWN, BlobCache
from ml_assets.features.online_store.sqlite.joined import entity_at, joined
from ml_assets.features.online_store.sqlite.journal import pack, unpack
from ml_assets.features.online_store.stream import Stream
from tests.features.online_store.kit import EVERYTHING, windowed

COUNTS = windowed(("count", "", 12, 3), lateness=6)
Event = dict[str, object]

STREAM = Stream([EVERYTHING, COUNTS, EVERYTHING])
texts = st.one_of(st.none(), st.text(max_size=5))
events = st.lists(st.fixed_dictionaries({
    "customer": texts, "shop": texts, "event_id": st.text(max_size=9),
    "known_at": st.integers(-2**40, 2**40), "amount": st.one_of(st.none(), st.floats(-9, 9)),
    "pages": st.integers(0, 9), "paid": st.booleans(),
}), max_size=5)


@given(st.lists(st.tuples(st.integers(0, 2**31 - 1), events), max_size=3))
def test_what_is_packed_comes_out_again(sections: list[tuple[int, list[Event]]]) -> None:
    counted = [
        (group, known) for group, some in sections
        if (known := [each for event in some if (each := STREAM.counted(event)) is not None])
    ]
    batch = b"".join(pack(group, STREAM, some) for group, some in counted)
    assert [(section.group, list(section.events)) for section in unpack(batch)] == counted


@given(st.lists(st.one_of(st.none(), st.binary(min_size=1, max_size=9)), min_size=1))
def test_each_of_several_entities_is_found_again(entities: list[bytes | None]) -> None:
    packed = joined(entities)
    assert [entity_at(packed, place) or None for place in range(len(entities))] == entities


def test_blobs_asked_for_lately_are_kept_and_others_let_go() -> None:
    cache = BlobCache(limit=10_000)
    cache.put(1, b"often", b"x" * 100)
    for n in range(500):
        cache.put(1, b"%d" % n, b"x" * 100)
        assert cache.get(1, [b"often"]) == [b"x" * 100]
    assert cache.get(1, [b"0", b"499"]) == [UNKNOWN, b"x" * 100]
    cache.grow(1, [b"often", b"0"], [b"y", b"y"])
    assert cache.get(1, [b"often", b"0"]) == [b"x" * 100 + b"y", UNKNOWN]


def test_a_store_of_before_there_was_a_journal_gets_one() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    old = SqliteState(db)
    view_id = old.register(COUNTS.name, digest_of(COUNTS))
    db.execute("drop table online_journal")
    db.execute("alter table online_state drop column seq")
    state = SqliteState(db)
    stream = Stream([COUNTS])
    event = stream.counted({"customer": "ann", "known_at": 5, "event_id": "1"})
    assert event is not None
    state.append_together([(stream, [view_id], [event])])
    [blob] = state.get(view_id, [b"ann"])
    state.settle(whole=True)
    assert SqliteState(db).get(view_id, [b"ann"]) == [blob]
    db.close()
