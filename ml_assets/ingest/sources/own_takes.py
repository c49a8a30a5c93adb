"""What a user, or anybody of late, had taken by an instant: to draw from evenly."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from heapq import heappop, heappush

from ml_assets.ingest.sources.popularity import TRIES, Item, hashed


class OwnTakes:
    """The latest takes of everybody together and of each user, known from their instants on.

    In memory are the latest `recent` takes, the latest `own` different items of each user, and the
    takes that are not known yet.
    """

    def __init__(self, recent: int, own: int) -> None:
        self._own, self._noted = own, 0
        self._recent: deque[Item] = deque(maxlen=recent)
        self._items = _Different()
        self._of: dict[str, dict[Item, None]] = defaultdict(dict)
        self._coming: list[tuple[datetime, int, str, Item]] = []

    def note(self, known_at: datetime, items: Iterable[Item], user: str) -> None:
        """A user took these, which is known from an instant on."""
        for item in items:
            heappush(self._coming, (known_at, self._noted, user, item))
            self._noted += 1

    def advance(self, now: datetime) -> None:
        """From here on, what was known strictly before `now` is drawn from."""
        while self._coming and self._coming[0][0] < now:
            _, _, user, item = heappop(self._coming)
            if len(self._recent) == self._recent.maxlen:
                self._items.remove(self._recent[0])
            self._recent.append(item)
            self._items.add(item)
            if user:
                theirs = self._of[user]
                theirs.pop(item, None)
                theirs[item] = None
                if len(theirs) > self._own:
                    del theirs[next(iter(theirs))]

    def draw(self, name: str, count: int, *, without: Sequence[Item], user: str) -> list[Item]:
        """`count` different items, fewer only if there are no more: by the hash of a name, which
        draws each item that the user took, or anybody did of late, equally often.
        """
        own = list(self._of[user]) if user in self._of else []
        others, excluded, theirs = self._items.all, set(without), set(own)
        drawn: dict[Item, None] = {}
        for place in _lots(name, TRIES * count, len(own) + len(others)):
            if len(drawn) == count:
                break
            item = own[place] if place < len(own) else others[place - len(own)]
            # What is in both is drawn by the place that it has among the user's own.
            if item not in excluded and (place < len(own) or item not in theirs):
                drawn[item] = None
        return list(drawn)


def _lots(name: str, tries: int, size: int) -> Iterator[int]:
    """Places by lot; after so many all of them, from one drawn by lot on."""
    if not size:
        return
    for lot in range(tries):
        yield hashed(f"{lot}:{name}") % size
    first = hashed(f"rest:{name}") % size
    yield from range(first, size)
    yield from range(first)


class _Different:
    """Items that came and did not go as often, each once, in a list without holes."""

    def __init__(self) -> None:
        self.all: list[Item] = []
        self._times: dict[Item, int] = {}
        self._places: dict[Item, int] = {}

    def add(self, item: Item) -> None:
        self._times[item] = self._times.get(item, 0) + 1
        if self._times[item] == 1:
            self._places[item] = len(self.all)
            self.all.append(item)

    def remove(self, item: Item) -> None:
        self._times[item] -= 1
        if self._times[item]:
            return
        del self._times[item]
        place, last = self._places.pop(item), self.all.pop()
        if last != item:
            self.all[place] = last
            self._places[last] = place
