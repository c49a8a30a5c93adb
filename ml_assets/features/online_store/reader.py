"""The direct way from an online store to a model's inputs: what serving reads with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import NotReady
from ml_assets.features.engine import state
from ml_assets.features.engine.events import entity_keys_of
from ml_assets.features.engine.exact import Ints
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import (
    OWN,
    Backend,
    View,
    floor_of,
    number_of,
)
from ml_assets.features.online_store.decoders import (
    Decoder,
    Status,
    Statuses,
    TooEarly,
    WindowDecoder,
)
from ml_assets.features.online_store.notes import note_of
from ml_assets.features.online_store.remembered import Remembered
from ml_assets.features.online_store.row_decoders import MixedDecoder, NumberDecoder

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)

_FEW_BLOBS, _FEW_BYTES, _BLOB = 60, 17_000, 700
"""Up to so many blobs, and so many bytes of windowed views, plain Python beats arrays, measured
between other work; a windowed blob itself costs like so many bytes."""

Blobs = list[bytes | None]


@dataclass(frozen=True)
class Wanted:
    """Some features of a view: `columns` of a windowed view, numbers of a plain one.

    keys: the request's columns that hold the view's keys, in their order; the keys' own names
    if this is empty
    """

    view: View
    columns: tuple[str, ...]
    keys: tuple[str, ...] = ()


class Features(NamedTuple):
    """What was read for B requests.

    values: (B, F), NaN if a feature has no value
    as_of: (B) microseconds since 1970 UTC: the request's instant, or the earliest that the store
        still answers exactly if that is later
    status: (B, V) a `Status` for each `Wanted` of the plan
    """

    values: npt.NDArray[np.float32]
    as_of: Ints
    status: Statuses


class FeatureReader:
    """Reads the `plan`'s features, F in all, in its order. For one thread, as the backend.

    Views that are alike but for names are worked on together.

    Raises NotReady if a view is not in the store as the plan knows it, UnknownName for a
    column that a view lacks and DeclarationError for one that a vector cannot hold.
    """

    def __init__(self, backend: Backend, plan: Sequence[Wanted]) -> None:
        self._backend = backend
        self.names = tuple(name for wanted in plan for name in wanted.columns)
        self._keys = tuple(dict.fromkeys(wanted.keys or wanted.view.keys for wanted in plan))
        self._views: list[_Planned] = []
        self._groups: dict[object, list[int]] = {}
        first = 0
        for number, wanted in enumerate(plan):
            end = first + len(wanted.columns)
            planned = _Planned(
                decoder_of(wanted.view, wanted.columns), number_of(backend, wanted.view),
                self._keys.index(wanted.keys or wanted.view.keys), slice(first, end),
            )
            self._views.append(planned)
            self._groups.setdefault(planned.decoder.alike, []).append(number)
            first = end
        self._remembered = [
            Remembered(self._views[group[0]].decoder, len(group))
            for group in self._groups.values()]
        self._sources = [(each.view_id, each.key) for each in self._views]
        self._decode_one = [each.decoder.one for each in self._views]
        self._windowed = [number for number, wanted in enumerate(plan)
                          if isinstance(wanted.view, WindowedView)]
        view_id, own = backend.changes
        self._changes = view_id, [own]
        self._last_change: bytes | None = b"not looked yet"
        self._floors = [state.NEVER] * len(self._views)
        self._floor = state.NEVER

    def read(
        self, entities: Sequence[Mapping[str, object]], at: Sequence[datetime] | Ints
    ) -> Features:
        """The features of B requests, each as of its instant.

        entities: for each request the columns that hold its keys; more columns do no harm
        at: the instants, aware or microseconds since 1970 UTC

        Raises NotReady if a view was deleted or redefined meanwhile.
        """
        return self.read_beside(entities, at, ())[0]

    def read_beside(
        self, entities: Sequence[Mapping[str, object]], at: Sequence[datetime] | Ints,
        entries: Sequence[tuple[int, Sequence[bytes]]],
    ) -> tuple[Features, list[bytes | None]]:
        """The same, and beside it other entries of the store as they were at that very moment.

        entries: as for `Backend.get_many`, one key each
        """
        instants = _microseconds(at)
        keys = entity_keys_of(entities, self._keys)
        blobs, no_key, beside = self._fetch(keys, entries)
        try:
            if self._floor > min(instants, default=self._floor):
                raise TooEarly
            values, status = self._decode(keys, blobs, instants)
        except TooEarly:
            self._postpone(instants, blobs, no_key)
            values, status = self._decode(keys, blobs, instants)
        for row, number in no_key:
            values[row, self._views[number].columns] = np.nan
            status[row, number] = Status.NO_KEY
        return Features(values, np.array(instants, dtype=np.int64), status), beside

    def _fetch(
        self, keys: Sequence[list[bytes]], entries: Sequence[tuple[int, Sequence[bytes]]]
    ) -> tuple[list[Blobs], set[tuple[int, int]], list[bytes | None]]:
        """For each view the blobs of the requests, which (request, view) has no key, the entries.

        In one round trip, and each key once.
        """
        distinct = [mine[:1] if mine[:1] * len(mine) == mine else list(dict.fromkeys(mine))
                    for mine in keys]
        [change], *blobs = self._backend.get_many([
            self._changes, *[(view_id, distinct[key]) for view_id, key in self._sources], *entries
        ])
        blobs, beside = blobs[: len(self._sources)], [each for [each] in blobs[len(self._sources):]]
        if change != self._last_change:
            self._look_at_views()
            self._last_change = change
        no_key: set[tuple[int, int]] = set()
        for number, (_, key) in enumerate(self._sources):
            if len(distinct[key]) == 1:
                blobs[number] *= len(keys[key])
            elif len(distinct[key]) < len(keys[key]):
                of = dict(zip(distinct[key], blobs[number], strict=True))
                blobs[number] = [of[each] for each in keys[key]]
            if OWN in distinct[key]:
                for row, each in enumerate(keys[key]):
                    if each == OWN:
                        blobs[number][row] = None
                        no_key.add((row, number))
        return blobs, no_key, beside

    def _decode(
        self, keys: Sequence[Sequence[bytes]], blobs: Sequence[Blobs], instants: list[int]
    ) -> tuple[npt.NDArray[np.float32], Statuses]:
        if len(instants) * len(blobs) > _FEW_BLOBS or (self._windowed and sum([
            len(blob) + _BLOB for number in self._windowed for blob in blobs[number] if blob
        ]) > _FEW_BYTES):
            return self._decode_many(keys, blobs, instants)
        status = bytearray()
        if len(instants) == 1:
            [at] = instants
            pieces: Iterable[bytes] = [
                decode(mine[0], at, status)
                for decode, mine in zip(self._decode_one, blobs, strict=True)
            ]
        else:
            columns = [map(decode, mine, instants, repeat(status))
                       for decode, mine in zip(self._decode_one, blobs, strict=True)]
            pieces = chain.from_iterable(zip(*columns, strict=True))
        packed = bytearray().join(pieces)
        return (np.ndarray((len(instants), len(self.names)), np.float32, packed),
                np.ndarray((len(instants), len(blobs)), np.uint8, status))

    def _decode_many(
        self, keys: Sequence[Sequence[bytes]], blobs: Sequence[Blobs], instants: list[int]
    ) -> tuple[npt.NDArray[np.float32], Statuses]:
        rows = len(instants)
        values = np.empty((rows, len(self.names)), np.float32)
        status = np.empty((rows, len(self._views)), np.uint8)
        for group, remembered in zip(self._groups.values(), self._remembered, strict=True):
            decoded, statuses = remembered.many(
                [(keys[self._views[each].key], blobs[each]) for each in group], instants)
            for turn, number in enumerate(group):
                mine, each = slice(turn * rows, (turn + 1) * rows), self._views[number]
                with np.errstate(over="ignore"):
                    values[:, each.columns] = decoded[mine, each.decoder.columns]
                status[:, number] = statuses[mine]
        return values, status

    def _postpone(
        self, instants: list[int], blobs: Sequence[Blobs], no_key: Set[tuple[int, int]]
    ) -> None:
        """Put later instants in place of those that some view cannot answer exactly."""
        for number, (each, mine) in enumerate(zip(self._views, blobs, strict=True)):
            for row, blob in enumerate(mine):
                if (row, number) not in no_key:
                    instants[row] = max(
                        instants[row], each.decoder.oldest(blob), self._floors[number]
                    )

    def _look_at_views(self) -> None:
        """Are they still there, and from when on can they answer?"""
        own = self._backend.get_many([(each.view_id, [OWN]) for each in self._views])
        self._floors = []
        for each, (entry,) in zip(self._views, own, strict=True):
            view = each.decoder.view
            self._floors.append(floor_of(entry, view.name))
            note = note_of(entry or b"")
            if note.since is not None and (
                isinstance(view, WindowedView) or not note.new.isdisjoint(self.names[each.columns])
            ):
                raise NotReady(note.advice(view.name, note.new or frozenset(["it"])))
        self._floor = max(self._floors, default=state.NEVER)


def _microseconds(at: Sequence[datetime] | Ints) -> list[int]:
    if isinstance(at, np.ndarray):
        found: list[int] = at.tolist()
        return found
    if len(at) > 1 and at.count(at[0]) == len(at):
        return [(at[0] - _EPOCH) // _US] * len(at)
    return [(instant - _EPOCH) // _US for instant in at]


def decoder_of(view: View, names: tuple[str, ...]) -> Decoder:
    """For the columns `names` of a view.

    Raises UnknownName if a windowed view lacks one, DeclarationError for one that no vector holds.
    """
    if isinstance(view, WindowedView):
        return WindowDecoder(view, names)
    numbers = {each.name for each in view.numbers if each.type != "UnixTimestamp"}
    return NumberDecoder(view, names) if numbers.issuperset(names) else MixedDecoder(view, names)


@dataclass(frozen=True)
class _Planned:
    """A part of the plan: its view, which of the reader's keys it has, which features it gives."""

    decoder: Decoder
    view_id: int
    key: int
    columns: slice
