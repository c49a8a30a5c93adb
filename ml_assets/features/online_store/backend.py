"""What an online store must be able to do, whichever database it is in.

It holds bytes. For a windowed view these are `engine.state` blobs; for a plain one the two
latest versions of a row, see `versions.py`. A registered view has one more entry, under the empty
key that no entity has: its floor, the earliest instant that all its entities can answer, and
behind it what is noted of the view, see `notes.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from struct import Struct
from typing import NamedTuple, Protocol

from ml_assets.core.errors import NotReady
from ml_assets.features.engine import state
from ml_assets.features.engine.events import EVERYBODY
from ml_assets.features.engine.state.layout import FORMAT
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.versions import PlainView

View = WindowedView | PlainView

Row = tuple[bytes, int, int, bytes]
"""Of an event: entity, at, uid, packed row. Of a plain view: entity, at, created, payload."""

OWN = b""
"""The key of a view's own entry."""

ONLY_ROW = EVERYBODY
"""The key of the only row of a view without entities."""

NO_FLOOR = state.NEVER

_FLOOR = Struct("<q")
FLOOR_SIZE = _FLOOR.size


class Registered(NamedTuple):
    """A view in the store: the number of its data, and `digest_of` its definition."""

    id: int
    digest: str


class Backend(Protocol):
    """The views of one Feast project. Instants are microseconds since 1970 UTC.

    changes: (view, key) of an entry, for `get_many`, that is another one after every change of
        a view or of its floor; None where there has been none
    """

    changes: tuple[int, bytes]

    def register(
        self, name: str, digest: str, *, note: bytes = b"", keep: bool = False
    ) -> int:
        """The number under which the view's data is kept.

        Where its definition has changed, the old data is dropped and the number is a new one:
        whoever still uses the old one can then neither read nor write. `keep` leaves the old
        data under its number, for the caller to drop; `note` is noted of a new number, see
        `set_note`.
        """
        ...

    def set_note(self, view_id: int, note: bytes) -> None:
        """Put `note` behind the floor in the view's own entry, in place of what is there."""
        ...

    def entities(self, view_id: int) -> Iterator[list[bytes]]:
        """The entities that something is kept of, some at a time, each once."""
        ...

    def views(self) -> dict[str, Registered]:
        """The registered views, by name."""
        ...

    def drop(self, view_id: int) -> None:
        """Forget the view and all its data."""
        ...

    def get(self, view_id: int, entities: Sequence[bytes]) -> list[bytes | None]:
        """What is kept of each entity; None where nothing is."""
        ...

    def get_many(
        self, asked: Sequence[tuple[int, Sequence[bytes]]]
    ) -> list[list[bytes | None]]:
        """`get` for several views in one round trip."""
        ...

    def append(self, view: WindowedView, view_id: int, rows: Sequence[Row]) -> int:
        """Count these events, each id once for each entity; all of them or none.

        Any order gives the same state, also from several processes at once. Returns how many
        were new. Raises NotReady where the view is no longer registered.
        """
        ...

    def put(self, view_id: int, rows: Iterable[Row], now: int | None = None) -> None:
        """Store rows of a plain view; the latest by (at, created) wins in any order.

        Of equal ones the last. The latest with an earlier `at` is kept too, and every one that
        is ahead of `now`, the machine's clock unless given. Raises NotReady where the view is no
        longer registered.
        """
        ...

    def expire(self, view: View, view_id: int, now: int) -> int:
        """Drop what no reader can need who asks for `now` or, of windows, up to `lateness`
        before it: idle entities, old tiles, old event ids. Returns how many entities went.
        """
        ...

    def count(self, view_id: int) -> int:
        """How many entities something is kept of."""
        ...

    def close(self) -> None: ...


def digest_of(view: View) -> str:
    """Changes with what is kept of the view, not with how it is read."""
    if isinstance(view, WindowedView):
        view = replace(view, refresh="stream", lateness=0)
    else:
        view = replace(view, ttl=0)
    return hashlib.sha256(f"{FORMAT} {view!r}".encode()).hexdigest()[:32]


def number_of(backend: Backend, view: View) -> int:
    """The number of `view`. Raises NotReady where it is not registered just so."""
    found = backend.views().get(view.name)
    if found is None or found.digest != digest_of(view):
        raise _not_ready(view.name)
    return found.id


def floor_entry(floor: int) -> bytes:
    return _FLOOR.pack(floor)


def floor_of(entry: bytes | None, view: str) -> int:
    """From a view's own entry. Raises NotReady where it is missing."""
    if entry is None:
        raise _not_ready(view)
    return int(_FLOOR.unpack_from(entry)[0])


def _not_ready(view: str) -> NotReady:
    return NotReady(
        f"the online store has no feature view {view!r} as this process knows it: it was never "
        "applied, or deleted or redefined since. Run `feast apply`, load it, and start this "
        "process again"
    )


def expiry(view: WindowedView, now: int) -> tuple[int, int]:
    """(floor, bound): exact from `floor` on; no such window reaches back before `bound`."""
    floor = (now - view.lateness) // view.tile * view.tile
    return floor, floor - view.horizon
