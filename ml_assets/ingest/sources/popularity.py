"""What had been taken by an instant, to draw from, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from hashlib import blake2b
from heapq import heappop, heappush

Item = str | int

TRIES = 20
"""Draws for each item that is wanted, at most, before all takes are looked through: nearly all of
them may be of a few items."""


class Popularity:
    """The latest takes, each known from its instant on; or, evenly, every item that was ever taken.

    In memory are `recent` takes, or each item once, and the takes that are not known yet.
    """

    def __init__(self, recent: int, *, evenly: bool = False) -> None:
        self._recent, self._noted, self._known = recent, 0, 0
        self._takes: list[Item] = []
        self._items: set[Item] | None = set() if evenly else None
        self._coming: list[tuple[datetime, int, Item]] = []

    def note(self, known_at: datetime, items: Iterable[Item]) -> None:
        """These were taken, which is known from an instant on."""
        for item in items:
            heappush(self._coming, (known_at, self._noted, item))
            self._noted += 1

    def advance(self, now: datetime) -> None:
        """From here on, what was known strictly before `now` is drawn from."""
        while self._coming and self._coming[0][0] < now:
            _, _, item = heappop(self._coming)
            if self._items is not None:
                if item not in self._items:
                    self._items.add(item)
                    self._takes.append(item)
            elif len(self._takes) < self._recent:
                self._takes.append(item)
            else:
                self._takes[self._known % self._recent] = item
            self._known += 1

    def draw(self, name: str, count: int, *, without: Sequence[Item]) -> list[Item]:
        """`count` different items, fewer only if there are no more: by the hash of a name, which
        draws each take, or each item, equally often.
        """
        drawn: dict[Item, None] = {}
        for item in self._lots(name, TRIES * count):
            if len(drawn) == count:
                break
            if item not in without:
                drawn[item] = None
        return list(drawn)

    def _lots(self, name: str, tries: int) -> Iterator[Item]:
        """Takes by lot; after so many all of them, from a take drawn by lot on."""
        if not self._takes:
            return
        for lot in range(tries):
            yield self._takes[hashed(f"{lot}:{name}") % len(self._takes)]
        first = hashed(f"rest:{name}") % len(self._takes)
        yield from self._takes[first:]
        yield from self._takes[:first]


def in_some_order(name: str, items: Iterable[Item]) -> list[Item]:
    """The items in an order that depends on them and a name alone, however they came."""
    return sorted(items, key=lambda item: (hashed(f"{item!r}:{name}"), repr(item)))


def hashed(text: str) -> int:
    """The same for the same text, everywhere."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
