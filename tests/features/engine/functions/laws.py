"""Laws of the engine over a view that is given: for the tests of functions, state and history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from ml_assets.features.engine import state
from ml_assets.features.engine.events import Events
from ml_assets.features.engine.exact import Floats
from ml_assets.features.engine.history import aggregate
from ml_assets.features.engine.state.layout import layout_of
from ml_assets.features.engine.state.read_vectorised import read_vectorised
from ml_assets.features.engine.windows import WindowedView
from tests.features.engine.reference import Record, answers, disagreements, events_of
from tests.features.engine.strategies import Question, histories, questions
from tests.features.online_store.kit import in_order

ENTITIES = np.arange(3)


def rows_of(view: WindowedView, records: Sequence[Record]) -> list[bytes]:
    return state.pack(view, events_of(view, in_order(records)))


def blob_of(view: WindowedView, records: Sequence[Record]) -> bytes:
    return state.fresh(b"".join(rows_of(view, records)))


def blobs_of(
    view: WindowedView, records: Sequence[Record], folds: Sequence[bool]
) -> list[bytes | None]:
    """Each entity's blob, folded wherever `folds` says so."""
    seen: set[tuple[int, str]] = set()
    blobs: list[bytes | None] = [None] * len(ENTITIES)
    for record, row in zip(records, rows_of(view, records), strict=True):
        if record.entity < 0 or (record.entity, record.id) in seen:
            continue
        seen.add((record.entity, record.id))
        before = blobs[record.entity]
        blob = state.fresh(row) if before is None else before + row
        blobs[record.entity] = state.fold(view, blob) if folds[len(seen) % len(folds)] else blob
    return blobs


def agree_with_the_state(view: WindowedView, data: st.DataObject) -> None:
    """From the cut on: events late, again, at one instant, in any order; folded at any time."""
    records = data.draw(histories(view, conflicting=True))
    blobs = blobs_of(view, records, data.draw(st.lists(st.booleans(), min_size=1, max_size=8)))
    oldest = np.array([state.oldest(blob) for blob in blobs])
    asked = [data.draw(questions(view, records)) for _ in ENTITIES]
    as_of = np.maximum([view.as_of(each.as_of) for each in asked], oldest)
    head = np.maximum([each.as_of if each.head is None else each.head for each in asked], oldest)
    for end in (None, head):
        wanted = aggregate(
            view, events_of(view, records), entity=ENTITIES, as_of=as_of, head=end
        )
        np.testing.assert_array_equal(state.read(view, blobs, as_of, end), wanted)
        np.testing.assert_array_equal(_many(view, blobs, as_of, end), wanted)


def _many(
    view: WindowedView, blobs: Sequence[bytes | None], as_of: np.ndarray, head: np.ndarray | None
) -> Floats:
    """By arrays, however few they are."""
    found = np.tile(layout_of(view).never_seen, (len(blobs), 1))
    known = [place for place, blob in enumerate(blobs) if blob is not None]
    if known:
        upper = as_of if head is None else np.minimum(as_of, head)
        found[known] = read_vectorised(
            layout_of(view), [blob for blob in blobs if blob is not None], as_of[known],
            upper[known],
        )
    return found


def ask(view: WindowedView, events: Events, asked: Sequence[Question]) -> Floats:
    as_of = view.as_of(np.array([each.as_of for each in asked], dtype=np.int64))
    heads = [
        as_of[place] if each.head is None else each.head for place, each in enumerate(asked)
    ]
    return aggregate(
        view, events, entity=np.array([each.entity for each in asked], dtype=np.int64),
        as_of=as_of, head=np.array(heads, dtype=np.int64),
    )


def agree_with_the_reference(
    view: WindowedView, records: Sequence[Record], asked: Sequence[Question]
) -> None:
    """Whatever arrived late, twice, in disorder or without an entity."""
    rows = ask(view, events_of(view, records), asked)
    assert rows.shape == (len(asked), len(view.columns))
    for question, row in zip(asked, rows.tolist(), strict=True):
        expected = answers(
            view, records, question.entity, view.as_of(question.as_of), question.head
        )
        assert not disagreements(expected, row), question
