"""The direct reader: what it answers, as of when, and when it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import numpy as np
import pytest

from ml_assets.core.codes import code_of
from ml_assets.core.errors import DeclarationError, NotReady, UnknownName
from ml_assets.features.engine import state
from ml_assets.features.online_store.backend import Backend, View
from ml_assets.features.online_store.decoders import Status
from ml_assets.features.online_store.reader import FeatureReader, Wanted
from ml_assets.features.online_store.versions import Column, PlainView, pack_payloads
from tests.features.online_store.kit import happened, key, registered, rows_of, windowed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COUNTS = windowed(("count", "", 12, 3), ("sum", "amount", 12, 3), lateness=6)
PROFILE = PlainView(
    name="profile", keys=("customer", "shop"), ttl=10,
    columns=(Column("name", "String"), Column("age", "Int64"), Column("height", "Float32")),
)
NAN = np.nan


def store_profile(
    backend: Backend, at: int, age: int | None, *, entity: bytes = b"\x01\0\0\0a\x01\0\0\0b"
) -> None:
    (payload,) = pack_payloads(
        PROFILE, [np.array([age or 0]), np.array([1.5])],
        np.array([[age is None, False, False]]), [[b"Ann"]],
    )
    backend.put(registered(backend, PROFILE), [(entity, at, 0, payload)])


def profile_reader(backend: Backend) -> FeatureReader:
    return FeatureReader(backend, [Wanted(PROFILE, ("height", "age"))])


@pytest.fixture(params=[1, 50], ids=["one", "many"])
def copies(request: pytest.FixtureRequest) -> int:
    """A batch of this many equal requests: few and many are read in different ways."""
    found: int = request.param
    return found


def read_profile(backend: Backend, at: int, copies: int = 1) -> tuple[list[float], int]:
    """The features, and as of when they are."""
    asked = [{"customer": "a", "shop": "b", "more": 1}] * copies
    values, as_of, _ = profile_reader(backend).read(asked, np.full(copies, at))
    assert values.dtype == np.float32
    for row in values:
        np.testing.assert_array_equal(row, values[0])
    assert len(set(as_of.tolist())) == 1
    return values[0].tolist(), int(as_of[0])


def test_a_row_is_visible_from_its_instant_to_its_time_to_live(
    backend: Backend, copies: int
) -> None:
    store_profile(backend, 5, 31)
    store_profile(backend, 7, 32)
    for at, age in ((5, 31), (6, 31), (7, 32), (17, 32), (18, NAN)):
        values, as_of = read_profile(backend, at, copies)
        np.testing.assert_array_equal(values, [1.5 if age == age else NAN, age])
        assert as_of == at


def test_before_the_oldest_version_that_is_kept_nothing_is_known(
    backend: Backend, copies: int
) -> None:
    """So the answer is as of that version, and says so."""
    for at in (5, 7, 9):
        store_profile(backend, at, at)
    assert read_profile(backend, 8, copies) == ([1.5, 7], 8)
    assert read_profile(backend, 6, copies) == ([1.5, 7], 7)


def test_a_null_is_nan_and_so_is_an_unknown_entity(backend: Backend, copies: int) -> None:
    store_profile(backend, 5, None)
    np.testing.assert_array_equal(read_profile(backend, 6, copies)[0], [1.5, NAN])
    asked = [{"customer": "a", "shop": "c"}] * copies
    values, as_of, _ = profile_reader(backend).read(asked, np.full(copies, 6))
    assert np.isnan(values).all()
    assert as_of.tolist() == [6] * copies


def test_the_status_says_what_the_store_knew_of_each_entity(
    backend: Backend, copies: int
) -> None:
    backend.append(COUNTS, registered(backend, COUNTS), rows_of(COUNTS, [happened(3)]))
    store_profile(backend, 3, 31)
    reader = FeatureReader(backend, [Wanted(COUNTS, ("f0",)), Wanted(PROFILE, ("age",))])
    asked: list[dict[str, object]] = [
        {"customer": "customer 0", "shop": "b"}, {"customer": "a", "shop": "b"}, {"shop": "b"},
    ]
    known = reader.read(asked * copies, np.full(3 * copies, 6))
    assert known.status.tolist() == [
        [Status.PRESENT, Status.NOT_FOUND], [Status.NOT_FOUND, Status.PRESENT],
        [Status.NO_KEY, Status.NO_KEY],
    ] * copies
    later = reader.read(asked[1:2] * copies, np.full(copies, 14))
    assert later.status.tolist() == [[Status.NOT_FOUND, Status.EXPIRED]] * copies


class Truncating:
    """A store whose bytes of some entities lack the last `lost` ones."""

    def __init__(self, backend: Backend, entities: Sequence[bytes], lost: int) -> None:
        self.changes, self.views = backend.changes, backend.views
        self._backend, self._entities, self._lost = backend, entities, lost

    def get_many(self, asked: Sequence[tuple[int, Sequence[bytes]]]) -> list[list[bytes | None]]:
        return [
            [blob[: -self._lost] if blob and entity in self._entities else blob
             for entity, blob in zip(entities, blobs, strict=True)]
            for (_, entities), blobs in zip(asked, self._backend.get_many(asked), strict=True)
        ]


@pytest.mark.parametrize("lost", [1, 8, 20, 1000])
@pytest.mark.parametrize("is_folded", [False, True])
def test_a_damaged_entity_says_so_and_harms_no_other(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, copies: int, lost: int, is_folded: bool
) -> None:
    monkeypatch.setattr(state, "FOLD_ROWS", 1 if is_folded else 1000)
    text = replace(PROFILE, name="text", keys=("customer",))
    numbers = replace(text, name="numbers", columns=PROFILE.columns[1:])
    views: list[View] = [COUNTS, text, numbers]
    backend.append(COUNTS, registered(backend, COUNTS), rows_of(COUNTS, [
        happened(at, entity=entity) for entity in (0, 1) for at in (1, 6, 9, 10)
    ]))
    for view in (text, numbers):
        (payload,) = pack_payloads(
            view, [np.array([31]), np.array([1.5])], np.zeros((1, len(view.columns)), dtype=bool),
            [[b"Ann"] for _ in view.texts],
        )
        backend.put(registered(backend, view), [(key(entity), 9, 0, payload) for entity in (0, 1)])
    asked = [{"customer": "customer 0"}, {"customer": "customer 1"}] * copies
    plan = [Wanted(view, ("f0", "f1") if view is COUNTS else ("height", "age")) for view in views]
    expected = FeatureReader(backend, plan).read(asked, np.full(2 * copies, 11))
    assert not expected.status.any()
    damaged = cast(Backend, Truncating(backend, [key(0)], lost))
    values, as_of, status = FeatureReader(damaged, plan).read(asked, np.full(2 * copies, 11))
    np.testing.assert_array_equal(values[1::2], expected.values[1::2])
    assert status[1::2].tolist() == expected.status[1::2].tolist()
    assert as_of.tolist() == [11] * 2 * copies
    assert (status[::2] == Status.DAMAGED).all()
    assert np.isnan(values[::2]).all()


def test_a_missing_key_makes_all_features_of_the_view_nan(
    backend: Backend, copies: int
) -> None:
    """An entity never seen has the values of an empty window instead."""
    view_id = registered(backend, COUNTS)
    backend.append(COUNTS, view_id, rows_of(COUNTS, [happened(3, amount=2.5)]))
    store_profile(backend, 3, 31)
    reader = FeatureReader(backend, [
        Wanted(PROFILE, ("age",), keys=("buyer", "shop")), Wanted(COUNTS, ("f1", "f0")),
    ])
    assert reader.names == ("age", "f1", "f0")
    asked: list[dict[str, object]] = [
        {"customer": "customer 0", "buyer": "a", "shop": "b"}, {"customer": None, "buyer": "a"},
        {"customer": "", "buyer": "", "shop": "b"}, {"customer": "customer 9"},
    ]
    values, *_ = reader.read(asked * copies, np.full(4 * copies, 4))
    wanted = [[31, 2.5, 1], [NAN] * 3, [NAN] * 3, [NAN, 0, 0]]
    np.testing.assert_array_equal(values, wanted * copies)


def test_the_answer_is_as_of_the_earliest_instant_that_all_views_know(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of the view whose own state would go back further."""
    monkeypatch.setattr(state, "FOLD_ROWS", 1)
    other = replace(COUNTS, name="other", lateness=1000)
    for view in (COUNTS, other):
        backend.append(view, registered(backend, view), rows_of(view, [
            happened(at) for at in (3, 10, 20)
        ]))
    reader = FeatureReader(backend, [Wanted(COUNTS, ("f0",)), Wanted(other, ("f0",))])
    keys = [{"customer": "customer 0"}, {"customer": "customer 1"}]
    values, as_of, _ = reader.read(keys, np.array([5, 5]))
    # 20 - 6 = 14 lies in the tile that starts at 12.
    assert as_of.tolist() == [12, 5]
    assert values.tolist() == [[2, 2], [0, 0]]
    backend.expire(COUNTS, backend.views()["shopping"].id, 40)
    assert reader.read(keys, np.array([5, 5]))[1].tolist() == [33, 33]


def test_views_that_are_alike_but_for_names_are_read_as_each_alone(
    backend: Backend, copies: int
) -> None:
    """In the plan's order, whatever is worked on together; also those with other windows."""
    plan = []
    for name, column, window in (
        ("mails", "amount", 12), ("visits", "pages", 12), ("orders", "amount", 6),
        ("returns", "pages", 12),
    ):
        view = windowed(("count", "", 12, 3), ("sum", column, window, 3), ("mean", column, 12, 3),
                        name=name, lateness=len(name))
        backend.append(view, registered(backend, view), rows_of(view, [
            happened(at, entity=at % 2, amount=at / 8, pages=at) for at in range(len(name), 12)
        ]))
        plan.append(Wanted(view, ("f2", "f0") if name == "visits" else view.columns))
    plan.insert(1, Wanted(plan[2].view, ("f1",)))
    keys: list[dict[str, object]] = [
        {"customer": "customer 0"}, {"customer": "customer 1"}, {"customer": None},
    ]
    at = np.arange(3 * copies) % 9 + 9
    together, as_of, _ = FeatureReader(backend, plan).read(keys * copies, at)
    assert as_of.tolist() == at.tolist()
    alone = [FeatureReader(backend, [wanted]).read(keys * copies, at)[0] for wanted in plan]
    np.testing.assert_array_equal(together, np.concatenate(alone, axis=1))
    assert (together[:2, 0] > 0).all()


def test_views_refreshed_by_slide_show_the_state_of_the_last_boundary(backend: Backend) -> None:
    view = windowed(("count", "", 12, 3), refresh="slide", lateness=6)
    backend.append(view, registered(backend, view), rows_of(view, [
        happened(at) for at in (1, 4, 7)
    ]))
    reader = FeatureReader(backend, [Wanted(view, view.columns)])
    keys = [{"customer": "customer 0"}] * 3
    values, as_of, _ = reader.read(keys, np.array([5, 6, 8]))
    assert values.ravel().tolist() == [1, 2, 2]
    assert as_of.tolist() == [5, 6, 8]


def test_instants_may_be_datetimes(backend: Backend) -> None:
    store_profile(backend, 5, 31)
    values, as_of, _ = profile_reader(backend).read(
        [{"customer": "a", "shop": "b"}], [EPOCH + timedelta(microseconds=6)]
    )
    assert values.tolist() == [[1.5, 31]]
    assert as_of.tolist() == [6]
    values, as_of, _ = profile_reader(backend).read([], [])
    assert values.shape == (0, 2)


def test_a_view_without_entities_has_one_row(backend: Backend) -> None:
    view = PlainView(name="everyone", keys=(), columns=(Column("rate", "Float64"),))
    (payload,) = pack_payloads(view, [np.array([0.5])], np.array([[False]]))
    backend.put(registered(backend, view), [(b"*", 1, 0, payload)])
    reader = FeatureReader(backend, [Wanted(view, ("rate",))])
    assert reader.read([{}, {"customer": "a"}], np.array([1, 2]))[0].tolist() == [[0.5], [0.5]]


def test_every_type_of_number_is_read(backend: Backend, copies: int) -> None:
    """Numbers as they are; an instant as how many seconds ago it was, a text as its code."""
    types = {"Float32": 1.5, "Float64": 2.5, "Int32": -3, "Int64": 4, "Bool": True,
             "UnixTimestamp": 5}
    numbers = PlainView(
        name="numbers", keys=("customer",), columns=tuple(Column(each, each) for each in types)
    )
    whole = replace(numbers, name="all", columns=(*numbers.columns, Column("word", "String")))
    values = [np.array([value]) for value in types.values()]
    for view, texts in ((numbers, []), (whole, [[b"Z\xc3\xbcrich"]])):
        nulls = np.zeros((1, len(view.columns)), dtype=bool)
        (payload,) = pack_payloads(view, values, nulls, texts)
        backend.put(registered(backend, view), [(b"a", 1, 0, payload)])
    reader = FeatureReader(backend, [
        Wanted(numbers, tuple(types)[:5]), Wanted(whole, ("word", *types)),
        Wanted(numbers, ("UnixTimestamp",))])
    found, *_ = reader.read([{"customer": "a"}] * copies, np.full(copies, 9_500_000))
    said = [1.5, 2.5, -3, 4, 1]
    assert found.tolist() == [[*said, code_of("Zürich"), *said, 4.5, 4.5]] * copies


def test_a_text_that_is_null_has_no_code(backend: Backend, copies: int) -> None:
    view = PlainView(name="all", keys=("customer",), columns=(
        Column("at", "UnixTimestamp"), Column("word", "String")))
    (payload,) = pack_payloads(view, [np.array([0])], np.ones((1, 2), dtype=bool), [[b""]])
    backend.put(registered(backend, view), [(b"a", 1, 0, payload)])
    reader = FeatureReader(backend, [Wanted(view, ("at", "word"))])
    found, *_ = reader.read([{"customer": "a"}, {"customer": "b"}] * copies, np.full(2 * copies, 9))
    assert np.isnan(found).all()


def test_a_reader_refuses_what_it_cannot_read(backend: Backend) -> None:
    with pytest.raises(NotReady, match="no feature view 'profile'"):
        profile_reader(backend)
    registered(backend, PROFILE)
    registered(backend, COUNTS)
    with pytest.raises(DeclarationError, match="'nothing' of view 'profile' is missing; a vector"):
        FeatureReader(backend, [Wanted(PROFILE, ("nothing",))])
    with pytest.raises(UnknownName, match="no column 'f3'"):
        FeatureReader(backend, [Wanted(COUNTS, ("f3",))])


def test_a_reader_stops_when_its_view_is_redefined(backend: Backend) -> None:
    registered(backend, PROFILE)
    reader = profile_reader(backend)
    registered(backend, replace(PROFILE, columns=PROFILE.columns[:1]))
    with pytest.raises(NotReady, match="no feature view 'profile' as this process knows it"):
        reader.read([{"customer": "a", "shop": "b"}], np.array([6]))
