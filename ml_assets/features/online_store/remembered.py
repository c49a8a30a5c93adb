"""What blobs held when they were decoded last: the same bytes are not decoded again.

The items to choose from are read with every slate, and change only when something happens to one
of them. Until then windows move on from tile to tile, a row of a table may expire, and what counts
the seconds since an event grows by a second each second. All else stays as it is, bit by bit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain, repeat
from operator import eq

import numpy as np

from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.state import NEVER
from ml_assets.features.online_store.decoders import Decoder, Status, Statuses

MOST_BYTES, MOST_KEYS = 16 * 1024 * 1024, 100_000
"""Of what is remembered for one decoder; then all is forgotten."""
_NOTHING, _UNKNOWN = 0, -1
"""The row of an entity that the store does not know, and what stands for no row."""

Asked = Sequence[tuple[Sequence[bytes], Sequence[bytes | None]]]
"""For each of several views that are alike the keys of m rows, and their blobs."""


class Remembered:
    """Decodes blobs of views that are alike, if it does not know what they held. For one thread.

    An entity that is asked for again is remembered; of most pairs of user and item that is none.
    """

    def __init__(self, decoder: Decoder, views: int) -> None:
        self._decoder, self._ages = decoder, decoder.ages
        self._index: list[dict[bytes, int]] = [{} for _ in range(views)]
        self._blobs: list[bytes] = []
        self._values: Floats
        self._status: Statuses
        self._least: Ints
        self._most: Ints
        self._forget()

    def many(self, asked: Asked, at: Sequence[int]) -> tuple[Floats, Statuses]:
        """What `Decoder.many` gives of all blobs, m of each view, as of m instants.

        Raises TooEarly.
        """
        if self._ages is None or at.count(at[0]) < len(at):
            return self._each_once(asked, at)
        several = [keys.count(keys[0]) < len(keys) for keys, _ in asked]
        if all(several):
            return self._known(asked, at[0])
        # A key that all rows share is asked for once.
        values, status = self._known([
            (keys, blobs) if each else (keys[:1], blobs[:1])
            for (keys, blobs), each in zip(asked, several, strict=True)], at[0])
        counts = list(chain.from_iterable([1] * len(at) if each else [len(at)] for each in several))
        return np.repeat(values, counts, axis=0), np.repeat(status, counts)

    def _each_once(self, asked: Asked, at: Sequence[int]) -> tuple[Floats, Statuses]:
        """Nothing is remembered; what several rows ask about one entity is worked out once.

        An entity that all of them share has by far the longest blob.
        """
        blobs, at = list(chain.from_iterable(mine for _, mine in asked)), list(at) * len(asked)
        pairs = list(zip(map(id, blobs), at, strict=True))
        last = dict(zip(pairs, range(len(pairs)), strict=True))
        if len(last) == len(pairs):
            return self._decoder.many(blobs, at)
        chosen = last.values()
        values, status = self._decoder.many(
            [blobs[row] for row in chosen], [at[row] for row in chosen])
        place = dict(zip(last, range(len(last)), strict=True))
        places = [place[pair] for pair in pairs]
        return values[places], status[places]

    def _known(self, asked: Asked, now: int) -> tuple[Floats, Statuses]:
        """All as of one instant."""
        index = np.array([row for view, (keys, blobs) in enumerate(asked)
                          for row in self._rows_of(self._index[view], keys, blobs)], np.int64)
        known = (index >= 0) & (self._least[index] <= now) & (now <= self._most[index])
        values, status = self._values[index], self._status[index]
        if self._ages:
            values[:, self._ages] = (now - values[:, self._ages]) / 1e6
        if not known.all():
            new = np.flatnonzero(~known).tolist()
            ends = list(accumulate(len(keys) for keys, _ in asked))
            unknown = [(view := bisect_right(ends, row), *_at(asked[view], row - ends[view]))
                       for row in new]
            values[new], status[new] = found = self._decoder.many(
                [blob for _, _, blob in unknown], [now] * len(unknown))
            self._note(unknown, now, *found)
        return values, status

    def _rows_of(
        self, index: Mapping[bytes, int], keys: Sequence[bytes], blobs: Sequence[bytes | None]
    ) -> Iterable[int]:
        """Where it stands what these held, if they are what they were."""
        rows = [*map(index.get, keys, repeat(_UNKNOWN))]
        same = map(eq, map(self._blobs.__getitem__, rows), blobs)
        return [_NOTHING if blob is None else row if each else _UNKNOWN
                for blob, row, each in zip(blobs, rows, same, strict=True)]

    def _note(
        self, unknown: Sequence[tuple[int, bytes, bytes]], now: int, values: Floats,
        status: Statuses,
    ) -> None:
        """Remember what was decoded of those entities that were asked for before.

        unknown: view, key and blob
        """
        places: dict[int, int] = {}
        present = (status == Status.PRESENT).tolist()
        for place, (view, key, blob) in enumerate(unknown):
            index = self._index[view]
            if key not in index:
                index[key] = _UNKNOWN
            elif present[place]:
                if index[key] == _UNKNOWN:
                    index[key] = len(self._blobs)
                    self._blobs.append(b"")
                row = index[key]
                self._bytes += len(blob) - len(self._blobs[row])
                self._blobs[row], places[row] = blob, place
        if places:
            self._remember(places, now, values)
        if self._bytes > MOST_BYTES or sum(map(len, self._index)) > MOST_KEYS:
            self._forget()

    def _remember(self, places: Mapping[int, int], now: int, values: Floats) -> None:
        """places: for each row where it is among the values"""
        rows, values = list(places), values[list(places.values())]
        least, most = self._decoder.holds([self._blobs[row] for row in rows], now)
        if self._ages:
            ages = values[:, self._ages]
            since = now - np.rint(ages * 1e6)
            # An instant of the far past would not be found again to the microsecond.
            exact = ((ages == (now - since) / 1e6) | np.isnan(ages)).all(axis=1)
            least = np.where(exact, least, most + 1)
            values[:, self._ages] = since
        if len(self._blobs) > len(self._values):
            self._grow(2 * len(self._blobs))
        self._least[rows], self._most[rows] = least, most
        self._values[rows], self._status[rows] = values, Status.PRESENT

    def _grow(self, size: int) -> None:
        self._least, self._most = np.resize(self._least, size), np.resize(self._most, size)
        self._status = np.resize(self._status, size)
        self._values = np.resize(self._values, (size, self._values.shape[1]))

    def _forget(self) -> None:
        for index in self._index:
            index.clear()
        self._blobs, self._bytes = [b""], 0
        self._values, self._status = self._decoder.many([None], [0])
        self._least, self._most = np.array([NEVER]), np.array([-NEVER])


def _at(mine: tuple[Sequence[bytes], Sequence[bytes | None]], row: int) -> tuple[bytes, bytes]:
    """A key and its blob."""
    keys, blobs = mine
    return keys[row], blobs[row] or b""
