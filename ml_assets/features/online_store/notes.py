"""What a view's own entry in the online store says of it, behind its floor.

How the view was defined when it was applied, so that its data can be read after it was redefined;
and, from then until the view is loaded again, which of its features nobody has loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from ml_assets.core.errors import NotReady
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.state.layout import FORMAT
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.online_store.backend import FLOOR_SIZE, View
from ml_assets.features.online_store.versions import Column, PlainView


@dataclass(frozen=True, kw_only=True)
class Note:
    """view: as it was applied; None if nobody has noted it, or in another format

    While the view must be loaded again, else empty:
    new: the features that nobody has loaded
    since, until: of the rows to load, microseconds since 1970 UTC; since is None when all is loaded
    before: the number under which the data of the windowed view that was before is kept, which
        answers for all other features; 0 for none
    """

    view: View | None
    new: frozenset[str] = frozenset()
    since: int | None = None
    until: int = 0
    before: int = 0

    def require_loaded(self, view: str, features: frozenset[str]) -> None:
        """Raise NotReady if some of `features` must be loaded first."""
        if self.since is not None and features & self.new:
            raise NotReady(f"{self.advice(view, features & self.new)}. All other features of the "
                           "view are answered")

    def advice(self, view: str, features: frozenset[str]) -> str:
        """What to do about `features` of the view of that name, and from when on."""
        assert self.since is not None
        start = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.since))
        return (
            f"feature view {view!r}: {', '.join(sorted(features))} must be loaded from "
            f"{start:%Y-%m-%dT%H:%M:%S} (UTC) on; run `feast materialize-incremental` or `feast "
            "materialize` for the view, which then start there"
        )


def packed(note: Note) -> bytes:
    """As it is kept behind the floor."""
    return json.dumps({
        "format": FORMAT, "view": _written(note.view), "new": sorted(note.new),
        "since": note.since, "until": note.until, "before": note.before,
    }, separators=(",", ":")).encode()


def note_of(entry: bytes) -> Note:
    """From a view's own entry; one of before there were notes has none."""
    return _parsed(entry[FLOOR_SIZE:])


@lru_cache(maxsize=256)
def _parsed(text: bytes) -> Note:
    if not text:
        return Note(view=None)
    said = json.loads(text)
    return Note(
        view=_read(said["view"]) if said["format"] == FORMAT else None,
        new=frozenset(said["new"]), since=said["since"], until=said["until"],
        before=said["before"],
    )


def _written(view: View | None) -> dict[str, Any] | None:
    if view is None:
        return None
    said = asdict(view)
    if isinstance(view, WindowedView):
        for each, aggregate in zip(said["aggregates"], view.aggregates, strict=True):
            function = aggregate.function
            arguments = ", ".join(map(repr, function.arguments))
            each["function"] = f"{function.name}({arguments})" if arguments else function.name
    return said


def _read(said: Mapping[str, Any] | None) -> View | None:
    if said is None:
        return None
    keys = tuple(said["keys"])
    if "aggregates" not in said:
        columns = tuple(Column(**each) for each in said["columns"])
        return PlainView(**{**said, "keys": keys, "columns": columns})
    aggregates = tuple(
        Aggregate(**{**each, "function": parse_function(each["function"], said["name"])})
        for each in said["aggregates"]
    )
    return WindowedView(**{**said, "keys": keys, "aggregates": aggregates})
