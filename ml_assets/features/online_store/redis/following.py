"""The store in Redis as a projection of the event log, so that services that are not ours can read
the features that serving reads."""

from __future__ import annotations

from collections.abc import Sequence

from ml_assets.core.storage.places import without_secret
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import Row
from ml_assets.features.online_store.lmdb.events import (
    NEVER_AHEAD,
    Applied,
    Counted,
    Read,
    Viewed,
)
from ml_assets.features.online_store.lmdb.keys import INSTANT, mark_entry, mark_of
from ml_assets.features.online_store.redis.backend import RedisBackend
from ml_assets.features.online_store.redis.scripts import ADVANCE
from ml_assets.features.online_store.versions import PlainView

CREATED = -1
"""As `now`: of each row the instant at which it was created."""


class FollowingRedis(RedisBackend):
    """See `projection.FollowingStore`."""

    def __init__(self, url: str, project: str = "ml_assets", *, prefix: str = "ml_assets") -> None:
        super().__init__(url, project, prefix=prefix)
        self.path = without_secret(url)
        self._advance = self._redis.register_script(ADVANCE)

    def apply(
        self, source: bytes, views: Sequence[Viewed], read: Read, *, ends: float | None = None
    ) -> Applied:
        """As of `LmdbBackend`, but not in one transaction: marks follow the state. What is applied
        again, because its process died in between or another one did the same, changes nothing.
        """
        entries = [mark_entry(number, source) for _, number in views]
        marks = [mark_of(value) for [value] in
                 self.get_many([(number, [key]) for number, key in entries])]
        after, new = min(marks), 0
        upto, rows, noted = read(after, min((mark for mark in marks if mark > after), default=None))
        if upto <= after:
            return Applied(after, new)
        behind = [place for place, mark in enumerate(marks) if mark == after]
        for place in behind:
            view, number = views[place]
            if isinstance(view, PlainView):
                self.put(number, rows[place], CREATED if noted else NEVER_AHEAD)
            else:
                new += self.append(view, number, rows[place])
        keys = [self._states(number) + key for number, key in map(entries.__getitem__, behind)]
        self._advance(keys=keys, args=[INSTANT.pack(upto)])
        return Applied(upto, new)

    def watermark(self, source: bytes, view_ids: Sequence[int]) -> int:
        """The position in `source` up to which all of the views have counted; 0 at first."""
        asked = [(number, [key]) for number, key in (mark_entry(each, source) for each in view_ids)]
        return min(mark_of(value) for [value] in self.get_many(asked))

    def append(
        self, view: WindowedView, view_id: int, rows: Sequence[Row],
        counted: Counted | None = None,
    ) -> int:
        """See `Backend`. counted: see `LmdbBackend`"""
        if counted is not None and (elsewhere := counted(view, rows)):
            rows = [row for row in rows if (row[0], row[2]) not in elsewhere]
        return super().append(view, view_id, rows)
