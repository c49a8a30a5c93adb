"""A tiny system that answers with pages: which of these tracks will this listener play?

Three keys, no text that a model reads. Listeners mostly play again what they have just played, so
the best page is another one after each choice.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import Quarantined
from ml_assets.core.feedback import FeedbackPolicy, TrustClass
from ml_assets.core.model import Model, Numbers
from ml_assets.core.policies import Gate, RetrainingPolicy, Slice
from ml_assets.core.slates import Nightly, Popular
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.time import DAY, midnight
from ml_assets.core.truths import Choices
from ml_assets.ingest.sources import Slates
from ml_assets.targets import Ranking

FIRST, LIVE = date(2024, 6, 3), date(2024, 6, 9)
DAYS, PER_DAY = 9, 60
LISTENERS, TRACKS_KNOWN = 10, 24
PAGE, OTHERS = 5, 6


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Somebody opened the player, and played something or not."""

    number: int
    at: datetime
    listener: str
    played: int | None
    played_at: datetime


def moments(days: int = DAYS, per_day: int = PER_DAY) -> Iterator[Moment]:
    """Of ten plays five are of what was played last, three of what many play, one of anything."""
    draw = random.Random(13)
    last: dict[str, int] = {}
    popular = [1 / (place + 1) for place in range(TRACKS_KNOWN)]
    for number in range(days * per_day):
        at = midnight(FIRST) + number * DAY / per_day
        listener = f"l{draw.randrange(LISTENERS)}"
        mood, track = draw.random(), draw.choices(range(TRACKS_KNOWN), popular)[0]
        played: int | None = track
        if mood < 0.5:
            played = last.get(listener, track)
        elif mood > 0.8:
            played = draw.randrange(TRACKS_KNOWN) if mood < 0.9 else None
        if played is not None:
            last[listener] = played
        yield Moment(number=number, at=at, listener=listener, played=played,
                     played_at=at + timedelta(seconds=draw.randint(5, 300)))


@dataclass(frozen=True, kw_only=True)
class Openings:
    """A request is `{"listener": str, "hour": number}`; a recorded one says what was played."""

    days: int = DAYS

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        for each in moments(self.days):
            yield ArchivedEvent(
                event_id=f"o{each.number}", event_timestamp=each.at, outcome=None,
                request={"listener": each.listener, "hour": each.at.hour, "played": each.played},
                known_at=each.played_at)

    def parse(self, request: Request) -> Event:
        if sorted(request) != ["hour", "listener"]:
            raise Quarantined(f"the fields are {sorted(request)}")
        return {"listener": request["listener"], "hour": request["hour"]}


@dataclass(frozen=True, kw_only=True)
class Plays:
    """A request is `{"listener": str, "track": int}`."""

    days: int = DAYS

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        played = [each for each in moments(self.days) if each.played is not None]
        for each in sorted(played, key=lambda each: each.played_at):
            yield ArchivedEvent(
                event_id=f"p{each.number}", event_timestamp=each.played_at, outcome=None,
                request={"listener": each.listener, "track": each.played})

    def parse(self, request: Request) -> Event:
        if sorted(request) != ["listener", "track"]:
            raise Quarantined(f"the fields are {sorted(request)}")
        return dict(request)


LISTENER = Column(name="listener", dtype="text", description="who listens", max_length=40)
TRACK = Column(name="track", dtype="integer", description="a track's number", minimum=0,
               maximum=2**24 - 1)

TRACKS = System(
    name="tracks",
    description="Which of these tracks will this listener play?",
    owners=("team:tests",),
    calendar=Calendar(first_day=FIRST, go_live=LIVE, last_day=FIRST + timedelta(days=DAYS - 1)),
    streams=(
        Stream(
            name="suggestions", asked=True, description="tracks that are shown to a listener",
            source=Slates(requests=Openings(), item="track", taken="played", others=OTHERS),
            columns=(
                LISTENER, TRACK,
                Column(name="hour", dtype="number", minimum=0, maximum=23,
                       description="of the day"),
            ),
        ),
        Stream(name="plays", description="what is played", source=Plays(),
               columns=(LISTENER, TRACK)),
    ),
    entities=(Entity(name="listener", description="who listens"),
              Entity(name="track", description="a track")),
    sticky_by="listener",
    feature_service="track_order",
    target=Ranking(name="played", item="track", user="listener", page=PAGE, explore=0.2,
                   candidates=Nightly(top=12, pool=TRACKS_KNOWN), newcomers=Popular(top=12)),
    truth=Choices(source="player", within=timedelta(minutes=10), rest=False),
    feedback=FeedbackPolicy(trusted=(TrustClass(name="player", sources=("player",)),), crowd=None),
    model=Model(inputs=(Numbers("hour"),), holdout=timedelta(days=1)),
    gates=(
        Gate(metric="auc", at_least=0.6),
        Gate(metric="ndcg", better_than_champion_by=0.0),
    ),
    slices=(
        Slice(name="mornings", where="hour < 12", description="before noon"),
        Slice(name="first", where="position = 1", description="what stands first"),
    ),
    retraining=RetrainingPolicy(
        after_labels=300, max_age=timedelta(days=14), cooldown=timedelta(days=1)
    ),
)
