"""A recorded history of requests to rank, as the rows of their slates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Literal, cast

from ml_assets.core.declaration import declaration
from ml_assets.core.errors import InvalidRequest, Quarantined
from ml_assets.core.policies import require
from ml_assets.core.slates import LARGEST_SLATE, request_fault, row_id
from ml_assets.core.source import ArchivedEvent, Event, GuardedSource, Request, Source
from ml_assets.core.texts import key_text
from ml_assets.core.texts import shown as shown_value
from ml_assets.core.time import declared_instant, midnight
from ml_assets.ingest.sources.own_takes import OwnTakes
from ml_assets.ingest.sources.popularity import Item, Popularity, in_some_order


@declaration
class Slates:
    """A `Source` of rows, one for each item of a slate, around a source of requests.

    requests: each record is a request: who asked, in which context, what was taken, and what was
        shown if that was recorded. `known_at` of a record is when its items were taken
    item: the column of the rows that says which item was shown
    taken: the field of a request that holds what was taken, an item or a list of them
    shown: the field that holds what was shown, from the first position on; None if nobody recorded
        it
    others: without `shown`, so many items are added to what was taken: drawn from what others had
        taken by then
    drawn: what was `popular` the oftener, or each item `evenly`. A model of slates with popular
        others tells a choice from what is popular anyway; only one of evenly drawn others orders
        all items
    recent: popular ones are drawn from the latest so many takes
    own: of so many different items that the same `user`, a field of a request, took last; 0 unless
        items are taken again and again. Others are then drawn evenly of these and of what the
        latest `recent` takes were of
    since: the day from which on requests have slates; earlier ones only tell what had been taken

    A row's id is `<request id>#<position>`, and its request has the fields of the request, without
    what was taken and shown, and the item. It was taken or it was not: its outcome is True or
    False.

    What is drawn depends on the request's id and on what was known before it alone. It stands at a
    position that tells nothing.
    """

    requests: Source
    item: str
    taken: str
    shown: str | None = None
    others: int = 0
    drawn: Literal["popular", "evenly"] = "popular"
    recent: int = 10_000
    own: int = 0
    user: str | None = None
    since: date | None = None

    def __post_init__(self) -> None:
        require((self.others > 0) == (self.shown is None), self, "others", self.others,
                "at least 1 if nobody recorded what was shown, and 0 if somebody did")
        require(self.others < LARGEST_SLATE, self, "others", self.others,
                f"less than {LARGEST_SLATE}")
        require(self.shown not in (self.item, self.taken), self, "shown", self.shown,
                "another field than `item` and `taken`")
        require(self.recent >= 1, self, "recent", self.recent, "at least 1")
        require(self.own >= 0, self, "own", self.own, "no negative number")
        require(not self.own or (self.drawn == "evenly" and self.user is not None), self, "own",
                self.own, "0 without `user`, whose items they are, and unless drawn evenly")

    @property
    def request_schema(self) -> Mapping[str, object]:
        """What makes a row, for the API's documentation."""
        schema = dict(getattr(self.requests, "request_schema", {"type": "object"}))
        fields = dict(schema.get("properties", {}))
        taken = fields.get(self.taken, {})
        one = taken.get("items", taken) if isinstance(taken, Mapping) else {}
        names = [name for name in fields if name not in (self.taken, self.shown, self.item)]
        wanted = [name for name in schema.get("required", ()) if name in names]
        return {**schema, "properties": {**{name: fields[name] for name in names}, self.item: one},
                "required": [*wanted, self.item]}

    def fetch(self, cache: Path) -> Path:
        return self.requests.fetch(cache)

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        """The rows of each request after one another. A request that cannot be used is one record,
        with its problem.
        """
        takes, seen = _Takes(self), set[object]()
        for request in self.requests.archive(fetched):
            try:
                at = _instants(request)
                taken = _items(request, self.taken)
                slate = self._slate(request, at, taken, takes, seen)
            except Quarantined as problem:
                yield replace(request, problem=request.problem or str(problem))
                continue
            seen.add(request.event_id)
            if self.shown is None:
                takes.note(request, at[-1], taken)
            if self.since is None or at[0] >= midnight(self.since):
                yield from self._rows(request, taken, slate)

    def require_known(self, request: Request) -> None:
        """Raise Quarantined for what recorded requests alone have, or the requests' source refuses.
        """
        for name in (self.taken, self.shown):
            if name is not None and name in request and name != self.item:
                raise Quarantined(f"the row has {name!r}, which only recorded requests have")
        if isinstance(self.requests, GuardedSource):
            self.requests.require_known(
                {name: value for name, value in request.items() if name != self.item})

    def parse(self, request: Request) -> Event:
        """A row's columns: those that the requests' source makes of all but the item, and it."""
        event = self.requests.parse(
            {name: value for name, value in request.items() if name != self.item})
        apart = (self.taken, self.shown)
        return {**{name: value for name, value in event.items() if name not in apart},
                self.item: request.get(self.item)}

    def _slate(
        self, request: ArchivedEvent, at: Sequence[datetime], taken: Sequence[Item],
        takes: _Takes, seen: set[object],
    ) -> Sequence[Item]:
        """What was shown. Raises Quarantined, naming request and field."""
        name = request.event_id
        if (fault := request_fault(name)) is not None:
            raise Quarantined(f"event_id: {fault}")
        if name in seen:
            raise Quarantined(f"event_id {shown_value(name)} was there before; a request has one "
                              "slate")
        if self.shown is None:
            drawn = takes.draw(request, at[0], without=taken)
            slate: Sequence[Item] = in_some_order(name, [*taken, *drawn])
        else:
            slate = _items(request, self.shown)
            absent = [item for item in taken if item not in slate]
            if absent:
                raise Quarantined(f"request {shown_value(name)}: {self.taken} has "
                                  f"{shown_value(absent[0])}, which {self.shown} lacks")
        if not 1 <= len(slate) <= LARGEST_SLATE:
            raise Quarantined(f"request {shown_value(name)} has {len(slate):,} items; expected 1 "
                              f"to {LARGEST_SLATE:,}")
        return slate

    def _rows(
        self, request: ArchivedEvent, taken: Sequence[Item], slate: Sequence[Item]
    ) -> Iterator[ArchivedEvent]:
        apart = (self.taken, self.shown)
        fields = {name: value for name, value in request.request.items() if name not in apart}
        for position, item in enumerate(slate, 1):
            chosen = item in taken
            yield replace(
                request, event_id=row_id(request.event_id, position),
                request={**fields, self.item: item}, outcome=chosen,
                known_at=request.known_at if chosen else None,
            )


class _Takes:
    """What others are drawn from."""

    def __init__(self, slates: Slates) -> None:
        self._slates = slates
        self._of_all = Popularity(slates.recent, evenly=slates.drawn == "evenly")
        self._own = OwnTakes(slates.recent, slates.own) if slates.own else None

    def note(self, request: ArchivedEvent, at: datetime, taken: Sequence[Item]) -> None:
        if self._own is None:
            self._of_all.note(at, taken)
        else:
            self._own.note(at, taken, self._user(request))

    def draw(
        self, request: ArchivedEvent, at: datetime, *, without: Sequence[Item]
    ) -> list[Item]:
        name, others = request.event_id, self._slates.others
        if self._own is None:
            self._of_all.advance(at)
            return self._of_all.draw(name, others, without=without)
        self._own.advance(at)
        return self._own.draw(name, others, without=without, user=self._user(request))

    def _user(self, request: ArchivedEvent) -> str:
        return key_text(request.request.get(str(self._slates.user)))


def _instants(request: ArchivedEvent) -> list[datetime]:
    """When it happened, and when something was taken, if that is known.

    Raises Quarantined for what is no request at all.
    """
    if request.problem is not None:
        raise Quarantined(request.problem)
    name, fields = cast(object, request.event_id), cast(object, request.request)
    if not isinstance(name, str):
        raise Quarantined(f"event_id is {shown_value(name)}; expected a text")
    if not isinstance(fields, Mapping):
        raise Quarantined(f"request is {shown_value(fields)}; expected a JSON object")
    found = []
    for name in ("event_timestamp", "known_at"):
        value = getattr(request, name)
        if value is None and name == "known_at":
            continue
        try:
            found.append(declared_instant(value))
        except InvalidRequest as error:
            raise Quarantined(f"{name}: {error}") from None
    return found


def _items(request: ArchivedEvent, field: str) -> list[Item]:
    """Raises Quarantined unless the field holds items, each once, or nothing."""
    value = request.request.get(field)
    listed = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    where = f"request {shown_value(request.event_id)}: {field}"
    for place, item in enumerate(listed, 1):
        if not isinstance(item, (str, int)) or isinstance(item, bool):
            raise Quarantined(f"{where}, item {place}, is {shown_value(item)}; expected a text or "
                              "an integer")
    if len(set(listed)) < len(listed):
        twice = next(item for item in listed if listed.count(item) > 1)
        raise Quarantined(f"{where} has {shown_value(twice)} twice; expected each item once")
    return list(listed)
