"""A tiny system that answers with slates, films for a viewer, on the real online state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import Quarantined
from ml_assets.core.feedback import FeedbackPolicy
from ml_assets.core.model import FullBatch, Model, Numbers
from ml_assets.core.policies import RetrainingPolicy
from ml_assets.core.settings import Settings
from ml_assets.core.slates import Nightly, Popular
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.storage.database import Database
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.target import Target
from ml_assets.core.truths import Choices
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.online import OnlineState
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.service import Chosen, Service, View
from ml_assets.features.store import open_backend
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.serving.answer.slates.list_file import writing_lists
from ml_assets.serving.composition import Backends
from ml_assets.targets.ranking import Ranking
from tests.serving.kit import LATER, NOON, Toy

PATH = "/v1/shelf/rank"
FILMS = tuple(f"film {n:02}" for n in range(12))
DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class ShelfSource:
    """A request has exactly these fields."""

    fields: tuple[str, ...] = ("user", "film", "hour")

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        return iter(())

    def parse(self, request: Request) -> Event:
        if set(request) != set(self.fields):
            raise Quarantined(f"the fields are {sorted(request)}; expected {sorted(self.fields)}")
        return {name: float(each) if type(each) is int and name == "hour" else each
                for name, each in request.items()}


USER = Column(name="user", dtype="text", description="who looks")
FILM = Column(name="film", dtype="text", description="what is shown", max_length=40)
SHELF = System(
    name="shelf",
    description="Which films will be watched?",
    owners=("team:tests",),
    calendar=Calendar(first_day=date(2024, 1, 1), go_live=date(2024, 1, 8)),
    streams=(
        Stream(name="pages", asked=True, description="who looks for a film", source=ShelfSource(),
               columns=(USER, FILM, Column(name="hour", dtype="number", description="of the day"))),
        Stream(name="clicks", description="what is watched",
               source=ShelfSource(fields=("user", "film")), columns=(USER, FILM)),
    ),
    entities=(Entity(name="user", description="a viewer"),
              Entity(name="film", description="a film")),
    sticky_by="user",
    feature_service="shelf_service",
    target=Ranking(name="watched", item="film", user="user", page=3,
                   candidates=Nightly(top=8, pool=10), newcomers=Popular(top=6)),
    truth=Choices(source="viewer", within=timedelta(hours=1), rest=False),
    feedback=FeedbackPolicy(),
    model=Model(inputs=(Numbers("hour"),), fit=FullBatch(iterations=3)),
    retraining=RetrainingPolicy(after_labels=50, max_age=timedelta(days=14),
                                cooldown=timedelta(days=1)),
)
WEEK = 7 * DAY // timedelta(microseconds=1)


def _clicks(name: str, *keys: str) -> View:
    windowed = WindowedView(
        name=f"shelf_{name}", keys=keys, timestamp="event_timestamp", aggregates=(Aggregate(
            name=name, function=parse_function("count", "test"), column="", window=WEEK,
            slide=WEEK // 7),))
    return View(name=windowed.name, system="shelf", table="clicks", windowed=windowed,
                definition=digest_of(windowed))


VIEWS = (_clicks("film_clicks", "film"), _clicks("own_clicks", "film", "user"))
SERVICE = Service(name="shelf_service", chosen=tuple(
    Chosen(view=view, columns=view.windowed.columns) for view in VIEWS))


@dataclass(frozen=True, kw_only=True)
class ShelfScorer:
    """The number of the film, what others watch, and away with what one has watched oneself."""

    bias: float = 0.0
    texts: tuple[str, ...] = ("film",)
    feature_names: tuple[str, ...] = ("hour", "film_clicks", "own_clicks")
    target: Target = SHELF.target
    fails_on: str = "nothing"

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        if self.fails_on in texts["film"]:
            raise RuntimeError(f"no idea of {self.fails_on}")
        known = np.nan_to_num(dense.astype(np.float64))
        names = np.array([float(film[5:]) if film[5:].isdigit() else 0 for film in texts["film"]])
        logits = self.bias - names / 10 + known[:, 1] - 9 * known[:, 2]
        return np.asarray(1 / (1 + np.exp(-logits)))[:, None]


@dataclass(kw_only=True)
class Shelf(Toy):
    """The system with an online state of its own. failure: what reading it raises, if anything"""

    system: System = SHELF
    models: dict[int, Any] = field(default_factory=lambda: {
        1: ShelfScorer(), 2: ShelfScorer(bias=1.0)})
    failure: Exception | None = None

    def backends(self) -> Backends:
        return replace(super().backends(), state=self._online)

    def _online(self, system: System, connection: Database) -> Any:
        with closing(open_backend(self.settings)) as store:
            for view in VIEWS:
                store.register(view.name, digest_of(view.windowed))
        real = OnlineState(connection, self.settings, system, SERVICE,
                           budget=timedelta(seconds=30))
        return FailingReads(real, self)

    def lists(self, lists: Mapping[str, Sequence[str]], version: int | None = 1) -> None:
        """Put lists where the API reads them; "" is the newcomers'."""
        with writing_lists(self.settings.candidates("shelf"), system="shelf",
                           day=NOON.date() - DAY, version=version) as writer:
            for user, items in lists.items():
                writer.add(user, items, [0.5 - n / 100 for n in range(len(items))])


class FailingReads:
    """The online state, whose reads fail as the shelf says."""

    def __init__(self, real: OnlineState, shelf: Shelf) -> None:
        self._real, self._shelf = real, shelf

    def read(self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]) -> Any:
        if self._shelf.failure is not None:
            raise self._shelf.failure
        return self._real.read(keys, at)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def look(
    event_id: str | None = None, user: str = "ann", *, candidates: Sequence[object] | None = FILMS,
    **more: Any,
) -> dict[str, Any]:
    """The body of a request to rank."""
    body: dict[str, Any] = {"event": {"user": user, "hour": 20}, **more}
    if candidates is not None:
        body["candidates"] = list(candidates)
    return body if event_id is None else {**body, "event_id": event_id}


def click(api: httpx.Client, film: str, user: str = "ann") -> None:
    answer = api.post("/v1/shelf/events/clicks", json={"event": {"user": user, "film": film}})
    assert answer.status_code == 200, answer.text


def films(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["item"] for each in answer.json()["items"]]


def logged(settings: Settings) -> list[Prediction]:
    with closing(EventLog(settings.event_log)) as log:
        return list(log.predictions("shelf", NOON - 9 * DAY, LATER + 9 * DAY))
