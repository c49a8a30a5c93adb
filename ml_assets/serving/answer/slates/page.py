"""Which requests to rank are answered, and what there is to choose from for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from msgspec import Struct, structs

from ml_assets.core.errors import DeclarationError, Quarantined
from ml_assets.core.runtime.hybrid_clock import HybridClock
from ml_assets.core.runtime.isolation import LONGEST_REASON
from ml_assets.core.slates import SlatePolicy, split
from ml_assets.core.source import Event
from ml_assets.core.system import System
from ml_assets.core.texts import key_text, storable
from ml_assets.ingest.contracts.values import taken
from ml_assets.ingest.log.event_log import Prediction
from ml_assets.ingest.log.slates import slate_id
from ml_assets.serving.answer.features import GuardedState
from ml_assets.serving.answer.intake.admission import (
    Admission,
    EventRefused,
    EventRequest,
    read_object,
    require_same,
)
from ml_assets.serving.answer.slates.candidates import Candidates
from ml_assets.serving.answer.slates.list_file import CandidateList
from ml_assets.serving.answer.slates.slate import RankRequest

KNOWN_ITEMS = 100_000
"""Items whose values are known to be sound, so that they are not looked at again."""


class Page(Struct, frozen=True, kw_only=True):
    """A request to rank that can be answered.

    posted: the event as it was sent, without the item; rows: (K) it as an event about each of the
        K candidates
    kept: the items of the latest night in their order, for when no model says anything; None if
        there are none
    n: how many items to show, at most K
    """

    request_id: str
    posted: str
    at: datetime
    items: Sequence[object]
    rows: Sequence[Event]
    kept: CandidateList | None
    n: int


class PageAdmission:
    """Makes pages of requests, and says of all others which field keeps them out."""

    def __init__(
        self, system: System, policy: SlatePolicy, state: GuardedState, candidates: Candidates
    ) -> None:
        self._system, self._policy, self._state = system, policy, state
        self._candidates = candidates
        self._admission = Admission(system)
        [self._column] = [each for each in system.columns if each.name == policy.item]
        self._name = json.dumps(policy.item)
        self._known: set[str] = set()

    def admit(self, request: RankRequest, now: datetime, clock: HybridClock) -> Page:
        """Raises EventRefused, naming the field, and NotReady if there is nothing to choose from.

        now: the event's instant if the request names none
        """
        posted = self._posted(request.event)
        given = None if request.candidates is None else self._given(request.candidates)
        # Who asks, and in which context, does not depend on the item: any will do.
        item = self._candidates.any_item() if given is None else given[0]
        admitted = self._admission.admit(
            EventRequest(event=self._about(posted, item).encode(), event_id=request.event_id,
                         event_timestamp=request.event_timestamp),
            now, clock=clock.reading, limits=self._state.limits)
        event, policy = admitted.event, self._policy
        user = "" if policy.user is None else key_text(event[policy.user])
        kept = self._candidates.require(user) if given is None else self._candidates.find(user)
        items: Sequence[object] = kept.items if given is None and kept is not None else given or ()
        return Page(
            request_id=admitted.event_id, posted=posted, at=admitted.at, items=items,
            rows=[{**event, policy.item: each} for each in items], kept=kept,
            n=min(request.n or policy.page, len(items)),
        )

    def row(self, page: Page, index: int) -> tuple[str, Event]:
        """What the log keeps of a candidate that is shown: the event about it, and its columns.

        It is read as ingestion will read it. Raises DeclarationError if that gives another row
        than the one that was scored.
        """
        posted = self._about(page.posted, page.items[index])
        event = self._admission.read(posted)
        if event != page.rows[index]:
            differing = sorted(name for name in event if event[name] != page.rows[index].get(name))
            raise DeclarationError(
                f"the source of {self._system.name!r} makes {', '.join(differing)} from the item "
                f"{page.items[index]!r}; columns of a ranked stream must not depend on "
                f"{self._policy.item!r}. Make a table of what is known of items")
        return posted, event

    def require_same(self, first: Prediction, request: RankRequest) -> None:
        """Raise EventRefused if the request uses the id of one that asked something else.

        first: a row that the earlier one was answered with
        """
        item = self._policy.item
        said = read_object(first.request)
        posted = self._about(self._posted(request.event), said[item])
        asked, _ = split(first.event_id) or ("", 0)
        whole = structs.replace(first, event_id=asked,
                                prediction_id=slate_id(self._system.name, asked))
        require_same(whole, EventRequest(event=posted.encode(), event_id=request.event_id,
                                         event_timestamp=request.event_timestamp))

    def _posted(self, event: bytes) -> str:
        """The event as text. Raises EventRefused unless it is a JSON object without an item."""
        try:
            posted = str(event, "utf-8").strip()
            names = read_object(posted)
        except (Quarantined, UnicodeDecodeError) as error:
            raise EventRefused("unusable_event", storable(str(error), LONGEST_REASON),
                               "event") from None
        if self._policy.item in names:
            raise EventRefused(
                "unusable_event", f"the event has {self._policy.item!r}, which the answer says; "
                "send the items to choose from as `candidates`", "event")
        return posted

    def _given(self, candidates: Sequence[object]) -> list[object]:
        """The items of a request as columns hold them, each once. Raises EventRefused."""
        known, items = self._known, list[object]()
        with suppress(TypeError):  # something that no item can be, such as a list
            if known.issuperset(candidates):
                return list(dict.fromkeys(candidates))
        for index, each in enumerate(candidates):
            if type(each) is not str or each not in known:
                try:
                    each = taken(self._column, each, is_key=True)
                except Quarantined as error:
                    raise EventRefused("unusable_item", f"candidates[{index}]: {error}",
                                       "candidates") from None
                if each is None or each == "":
                    raise EventRefused("unusable_item", f"candidates[{index}] is empty; expected "
                                       "the key of an item", "candidates")
                if type(each) is str and len(known) < KNOWN_ITEMS:
                    known.add(each)
            items.append(each)
        return list(dict.fromkeys(items))

    def _about(self, posted: str, item: object) -> str:
        """The event about an item: what a client would post for it alone."""
        inside = posted[:-1].rstrip()
        comma = "" if inside.endswith("{") else ", "
        return f"{inside}{comma}{self._name}: {json.dumps(item)}}}"
