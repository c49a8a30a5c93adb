"""A view that is applied with another definition than before: what is kept, what must be loaded.

Features that mean the same as before keep their values. A plain view's rows are copied, with
nulls for what is new. A windowed view's state cannot be: it has neither the columns nor the events
that a new aggregate reads. So the state that was before stays and goes on answering, and counting
what is pushed, until the view has been loaded anew from where it had been loaded from; a load of
our batch engine starts there by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import OWN, Backend, Row, View, digest_of, number_of
from ml_assets.features.online_store.notes import Note, note_of, packed
from ml_assets.features.online_store.versions import (
    NUMBERS,
    PlainView,
    pack_payloads,
    unpack_payload,
    versions_of,
)

Stretch = tuple[int, int]
"""From when to when, in microseconds since 1970 UTC."""


def define(
    backend: Backend, view: View, *, loaded: Stretch | None, now: int
) -> Note:
    """Register `view`, with what can be kept of the view of that name before it.

    loaded: the stretch that it was loaded with, as Feast's registry has it
    Returns its note, which says whether some of it must be loaded.
    """
    found = backend.views().get(view.name)
    if found is None:
        return _register(backend, view, Note(view=view))
    note = note_of(_own(backend, found.id))
    if found.digest == digest_of(view):
        if note.view != view:  # of before there were notes, or read differently now
            note = replace(note, view=view)
            backend.set_note(found.id, packed(note))
        return note
    if isinstance(view, WindowedView):
        return _redefine_windowed(backend, view, found.id, note, loaded, now)
    return _redefine_plain(backend, view, found.id, note, loaded, now)


def _redefine_plain(
    backend: Backend, view: PlainView, old_id: int, old: Note, loaded: Stretch | None, now: int
) -> Note:
    same = _same(old.view, view)
    new = (_features(view) - same) | (old.new & same)
    since, until = (old.since, old.until) if old.since is not None else loaded or (None, 0)
    note = Note(view=view, new=new, since=since, until=until) if new and since is not None else (
        Note(view=view)
    )
    if not same or not isinstance(old.view, PlainView):
        return _register(backend, view, note)
    _register(backend, view, note, keep=True)
    _copy(backend, old.view, old_id, view, now)
    backend.drop(old_id)
    return note


def _redefine_windowed(
    backend: Backend, view: WindowedView, old_id: int, old: Note, loaded: Stretch | None, now: int
) -> Note:
    if old.since is None and loaded is None and not backend.count(old_id):
        return _register(backend, view, Note(view=view))
    since, until = (old.since, old.until) if old.since is not None else loaded or (now, 0)
    # Redefined twice: what was loaded as a whole goes on answering.
    answering = old.before if old.since is not None else old_id
    same = _same(note_of(_own(backend, answering)).view if answering else None, view)
    note = Note(
        view=view, new=_features(view) - same, since=min(since, now - view.horizon - view.lateness),
        until=until, before=answering if same else 0,
    )
    _register(backend, view, note, keep=True)
    for number in {old_id, answering} - {0, note.before}:
        backend.drop(number)
    return note


def pending(backend: Backend, view: View) -> Note | None:
    """The note of a view that must be loaded again; None of another. Raises NotReady."""
    note = note_of(_own(backend, number_of(backend, view)))
    return None if note.since is None else note


def settle(backend: Backend, view: View) -> None:
    """All of `view` is loaded now: let go of what answered until now. Raises NotReady."""
    note = pending(backend, view)
    if note is not None:
        backend.set_note(number_of(backend, view), packed(Note(view=view)))
        if note.before:
            backend.drop(note.before)


def before(backend: Backend, view: WindowedView) -> tuple[int, WindowedView] | None:
    """The number and the definition of what answers until `view` is loaded again."""
    note = pending(backend, view)
    if note is None or not note.before:
        return None
    old = note_of(_own(backend, note.before)).view
    return (note.before, old) if isinstance(old, WindowedView) else None


def forget(backend: Backend, name: str) -> None:
    """Drop the view of that name, if there is one, and what was kept of it."""
    found = backend.views().get(name)
    if found is not None:
        note = note_of(_own(backend, found.id))
        backend.drop(found.id)
        if note.before:
            backend.drop(note.before)


def _own(backend: Backend, view_id: int) -> bytes:
    return backend.get(view_id, [OWN])[0] or b""


def _register(backend: Backend, view: View, note: Note, *, keep: bool = False) -> Note:
    backend.register(view.name, digest_of(view), note=packed(note), keep=keep)
    return note


def _features(view: View) -> frozenset[str]:
    return frozenset(each.name for each in _parts(view))


def _parts(view: View) -> Sequence[Any]:
    return view.aggregates if isinstance(view, WindowedView) else view.columns


def _same(old: View | None, new: View) -> frozenset[str]:
    """The features that mean the same in both."""
    if old is None or type(old) is not type(new) or old.keys != new.keys:
        return frozenset()
    if isinstance(old, WindowedView) and isinstance(new, WindowedView) and (
        (old.timestamp, old.created, old.event_id) != (new.timestamp, new.created, new.event_id)
    ):
        return frozenset()
    return frozenset(each.name for each in _parts(new) if each in _parts(old))


def _copy(backend: Backend, old: PlainView, old_id: int, new: PlainView, now: int) -> None:
    """The rows of one definition as rows of another; what is new is null."""
    view_id = number_of(backend, new)
    for entities in backend.entities(old_id):
        rows: list[tuple[bytes, int, int, bytes]] = []
        for entity, blob in zip(entities, backend.get(old_id, entities), strict=True):
            rows += [(entity, *version) for version in versions_of(blob or b"")]
        payloads = _repacked(old, new, [payload for *_, payload in rows])
        put: list[Row] = [
            (entity, at, created, payload)
            for (entity, at, created, _), payload in zip(rows, payloads, strict=True)
        ]
        backend.put(view_id, put, now)


def _repacked(old: PlainView, new: PlainView, payloads: Sequence[bytes]) -> list[bytes]:
    values: dict[str, list[Any]] = {each.name: [] for each in old.columns}
    for payload in payloads:
        numbers, texts = unpack_payload(old, payload)
        for each, value in zip((*old.numbers, *old.texts), (*numbers, *texts), strict=True):
            values[each.name].append(value)
    nothing = [None] * len(payloads)
    known = {each.name: values[each.name] for each in new.columns if each in old.columns}
    columns = [known.get(each.name, nothing) for each in (*new.numbers, *new.texts)]
    nulls: npt.NDArray[np.bool_] = np.array(
        [[value is None for value in each] for each in columns], dtype=np.bool_
    )
    count = len(new.numbers)
    return pack_payloads(
        new,
        [
            np.array([value or 0 for value in each], dtype=NUMBERS[column.type])
            for column, each in zip(new.numbers, columns[:count], strict=True)
        ],
        nulls.reshape(len(columns), len(payloads)).T,
        [[value or b"" for value in each] for each in columns[count:]],
    )
