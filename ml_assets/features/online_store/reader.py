"""The direct way from an online store to a model's inputs: what serving reads with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from struct import unpack

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import NotReady
from ml_assets.features.engine import state
from ml_assets.features.engine.events import entity_keys
from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import ALONE, OWN, Backend, View, floor_of, number_of
from ml_assets.features.online_store.notes import note_of
from ml_assets.features.online_store.parts import Part, Rows, Windows

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


@dataclass(frozen=True)
class Wanted:
    """Some features of a view: `columns` of a windowed view, numbers of a plain one.

    keys: the request's columns that hold the view's keys, in their order; the keys' own names
    where this is empty
    """

    view: View
    columns: tuple[str, ...]
    keys: tuple[str, ...] = ()


class FeatureReader:
    """Reads the `plan`'s features, F in all, in its order. For one thread, as the backend.

    Views that are alike but for names are worked on together.

    Raises NotReady where a view is not in the store as the plan knows it, UnknownName for a
    column that a view lacks and DeclarationError for one that is no number.
    """

    def __init__(self, backend: Backend, plan: Sequence[Wanted]) -> None:
        self._backend = backend
        self.names = tuple(name for wanted in plan for name in wanted.columns)
        alike: dict[object, list[_Asked]] = {}
        first = 0
        for wanted in plan:
            view = wanted.view
            part = (
                Windows(view, wanted.columns) if isinstance(view, WindowedView)
                else Rows(view, wanted.columns)
            )
            last = first + len(wanted.columns)
            alike.setdefault(part.alike, []).append(_Asked(
                part, number_of(backend, view), wanted.keys or view.keys, range(first, last)
            ))
            first = last
        self._groups = list(alike.values())
        self._asked = [asked for group in self._groups for asked in group]
        self._order = _order(self._asked)
        self._keys = tuple(dict.fromkeys(asked.keys for asked in self._asked))
        view_id, own = backend.changes
        self._changes = view_id, [own]
        self._last_change: bytes | None = b"not looked yet"
        self._floors = [state.NEVER] * len(self._asked)
        self._floor = state.NEVER

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime] | Ints
    ) -> tuple[npt.NDArray[np.float32], Ints]:
        """The features (B, F) of B requests and the instant (B) as of which they are.

        keys: for each request its columns; more columns do no harm
        at: when it is, aware, or microseconds since 1970 UTC

        The instant is that of the request, or the earliest that the store still answers
        exactly where that is later. NaN is a feature that has no value or whose entity has a
        missing key. Raises NotReady where a view was deleted or redefined meanwhile.
        """
        instants = at.tolist() if isinstance(at, np.ndarray) else [
            (instant - _EPOCH) // _US for instant in at
        ]
        entities = {
            names: entity_keys(keys, names) if names else [ALONE] * len(keys)
            for names in self._keys
        }
        nobody = {
            names: [row for row, key in enumerate(mine) if not key]
            for names, mine in entities.items() if OWN in mine
        }
        change, *answers = self._backend.get_many([
            self._changes, *[(asked.view_id, entities[asked.keys]) for asked in self._asked]
        ])
        if change[0] != self._last_change:
            self._look_at_views()
            self._last_change = change[0]
        if nobody:
            for asked, blobs in zip(self._asked, answers, strict=True):
                for row in nobody.get(asked.keys, ()):
                    blobs[row] = None
        if max(_latest_start(answers), self._floor) > min(instants, default=0):
            self._put_off(instants, answers, nobody)
        found = self._values(answers, instants)
        if nobody:
            for asked in self._asked:
                for row in nobody.get(asked.keys, ()):
                    found[row, asked.columns.start : asked.columns.stop] = np.nan
        return found, np.array(instants, dtype=np.int64)

    def _values(
        self, answers: Sequence[Sequence[bytes | None]], instants: list[int]
    ) -> npt.NDArray[np.float32]:
        """(B, F), also of nobody."""
        columns, first, rows = [], 0, len(instants)
        for group in self._groups:
            part, size = group[0].part, len(group)
            values = _each_once(
                part, [blob for blobs in answers[first : first + size] for blob in blobs],
                instants * size,
            )
            side_by_side = values.reshape(size, rows, part.width).swapaxes(0, 1)
            columns.append(side_by_side.reshape(rows, size * part.width))
            first += size
        found = columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
        if self._order is not None:
            found = found[:, self._order]
        with np.errstate(over="ignore"):
            return found.astype(np.float32)

    def _put_off(
        self, instants: list[int], answers: Sequence[Sequence[bytes | None]],
        nobody: Mapping[tuple[str, ...], Sequence[int]],
    ) -> None:
        """Put later instants in place of those that some view cannot answer exactly."""
        for asked, floor, blobs in zip(self._asked, self._floors, answers, strict=True):
            for row, blob in enumerate(blobs):
                if row not in nobody.get(asked.keys, ()):
                    instants[row] = max(instants[row], asked.part.oldest(blob), floor)

    def _look_at_views(self) -> None:
        """Are they still there, and from when on can they answer?"""
        own = self._backend.get_many([(asked.view_id, [OWN]) for asked in self._asked])
        self._floors = []
        for asked, (entry,) in zip(self._asked, own, strict=True):
            view = asked.part.view
            self._floors.append(floor_of(entry, view.name))
            note = note_of(entry or b"")
            if note.since is not None and (
                isinstance(view, WindowedView)
                or not note.new.isdisjoint(self.names[place] for place in asked.columns)
            ):
                raise NotReady(note.advice(view.name, note.new or frozenset(["it"])))
        self._floor = max(self._floors, default=state.NEVER)


@dataclass(frozen=True)
class _Asked:
    """A part of the plan: where it is read, by which keys, and which features it is."""

    part: Part
    view_id: int
    keys: tuple[str, ...]
    columns: range


def _each_once(part: Part, blobs: Sequence[bytes | None], instants: Sequence[int]) -> Floats:
    """`part.values`; what several requests ask about one entity is worked out once.

    An entity that is everybody's has by far the longest blob.
    """
    if len(set(map(id, blobs))) == len(blobs):
        return part.values(blobs, instants)
    asked = list(zip(map(id, blobs), instants, strict=True))
    last = {each: place for place, each in enumerate(asked)}
    found = part.values([blobs[place] for place in last.values()],
                        [instants[place] for place in last.values()])
    row_of = {each: row for row, each in enumerate(last)}
    values: Floats = found[[row_of[each] for each in asked]]
    return values


def _order(asked: Sequence[_Asked]) -> Ints | None:
    """(F) where each feature is among the values of these parts side by side; None: just there."""
    order = np.zeros(sum(len(each.columns) for each in asked), dtype=np.int64)
    first = 0
    for each in asked:
        order[each.columns] = [first + place for place in each.part.places]
        first += each.part.width
    return None if order.tolist() == list(range(first)) else order


def _latest_start(answers: Sequence[Sequence[bytes | None]]) -> int:
    """The latest of the instants that the blobs begin with; `oldest` of none is later.

    A state begins with its cut, a row with the instant of its latest version.
    """
    starts = b"".join([blob[:8] for blobs in answers for blob in blobs if blob is not None])
    return max(unpack(f"<{len(starts) // 8}q", starts), default=state.NEVER)
