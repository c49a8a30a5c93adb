"""The served system: films for a viewer, twenty features of them, a small network.

Eight features are the film's, six the viewer's, and six of both. What a slate costs does not depend
on what its numbers say, so the weights are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.model import Model, Numbers
from ml_assets.core.policies import RetrainingPolicy
from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.storage.database import Database
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.target import Target
from ml_assets.core.truths import Choices
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.online import OnlineState
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.counting import apply_rows
from ml_assets.features.service import Chosen, Service, View
from ml_assets.features.store import open_backend
from ml_assets.serving.answer.features import SystemState
from ml_assets.targets.ranking import Ranking

NAME = "films"
FILMS, VIEWERS, PAST = 2_000, 500, 40_000
HOUR, DAY = 3600 * 1_000_000, 24 * 3600 * 1_000_000


@dataclass(frozen=True, kw_only=True)
class Posted:
    """A request is the event's columns. There is no archive."""

    numbers: tuple[str, ...]

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        return iter(())

    def parse(self, request: Request) -> Event:
        return {**request, **{name: float(str(request[name])) for name in self.numbers}}


def _column(name: str, dtype: str = "text") -> Column:
    return Column(name=name, dtype=dtype, description=name)  # type: ignore[arg-type]


KEYS = (_column("viewer"), _column("film"))
SYSTEM = System(
    name=NAME,
    description="Which films will be watched?",
    owners=("team:benchmarks",),
    calendar=Calendar(first_day=date(2024, 1, 1), go_live=date(2024, 1, 8)),
    streams=(
        Stream(name="pages", asked=True, description="who looks for a film",
               source=Posted(numbers=("hour", "minutes")),
               columns=(*KEYS, _column("hour", "number"), _column("minutes", "number"))),
        Stream(name="watched", description="what was watched", source=Posted(numbers=("minutes",)),
               columns=(*KEYS, _column("minutes", "number"))),
    ),
    entities=(Entity(name="viewer", description="a viewer"),
              Entity(name="film", description="a film")),
    sticky_by="viewer",
    feature_service="films_memory",
    target=Ranking(name="taken", item="film", user="viewer", page=10, explore=0.1),
    truth=Choices(source="viewer", within=timedelta(hours=1), rest=False),
    model=Model(inputs=(Numbers("hour", "minutes"),)),
    retraining=RetrainingPolicy(after_labels=1000, max_age=timedelta(days=30),
                                cooldown=timedelta(days=1)),
)


def _view(of: str, keys: tuple[str, ...], functions: Sequence[tuple[str, str, int]]) -> View:
    windowed = WindowedView(
        name=f"{NAME}_{of}", keys=keys, timestamp="event_timestamp",
        aggregates=tuple(
            Aggregate(name=f"{of}_{function}_{days}d", function=parse_function(function, of),
                      column=column, window=days * DAY, slide=HOUR if days == 1 else DAY)
            for function, column, days in functions))
    return View(name=windowed.name, system=NAME, table="watched", windowed=windowed,
                definition=digest_of(windowed))


OFTEN = [("count", "", 1), ("count", "", 7), ("count", "", 28), ("sum", "minutes", 7),
         ("mean", "minutes", 28), ("time_since_last", "", 28)]
VIEWS = (_view("film", ("film",), [*OFTEN, ("mean", "minutes", 1), ("sum", "minutes", 28)]),
         _view("viewer", ("viewer",), OFTEN), _view("both", ("film", "viewer"), OFTEN))
SERVICE = Service(name="films_memory", chosen=tuple(
    Chosen(view=view, columns=view.features) for view in VIEWS))


class DrawnNetwork:
    """One hidden layer of 16 units over all numbers, and which are missing."""

    texts: tuple[str, ...] = ()
    feature_names = (*SYSTEM.model.numbers, *SERVICE.features)
    target: Target = SYSTEM.target

    def __init__(self, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        width = 2 * len(self.feature_names)
        self._hidden, self._out = draw.normal(0, 0.3, (width, 16)), draw.normal(0, 1, (16, 1))

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        missing = np.isnan(dense)
        numbers = np.sign(dense) * np.log1p(np.abs(np.where(missing, 0, dense)))
        inputs = np.concatenate([np.where(missing, 0, numbers), missing], axis=1)
        # einsum: a row's outputs must not depend on how many there are.
        hidden = np.maximum(np.einsum("bi,ih->bh", inputs, self._hidden), 0)
        return np.asarray(1 / (1 + np.exp(-np.einsum("bh,ho->bo", hidden, self._out) / 10)))


def open_state(settings: Settings, system: System, connection: Database) -> SystemState:
    """The reader that the server is given."""
    return OnlineState(connection, settings, system, SERVICE)


def prepare(settings: Settings) -> None:
    """Register the views and give films and viewers a past."""
    draw, now = np.random.default_rng(5), settings.clock_of(NAME).now()
    past = pa.table({
        "event_id": [f"past-{number}" for number in range(PAST)],
        "event_timestamp": pa.array([now - timedelta(days=age) for age in
                                     draw.uniform(2, 27, PAST)], pa.timestamp("us", tz="UTC")),
        "minutes": draw.lognormal(3, 1, PAST),
        "film": [f"film-{number}" for number in draw.integers(0, FILMS, PAST)],
        "viewer": [f"viewer-{number}" for number in draw.integers(0, VIEWERS, PAST)],
    })
    backend = open_backend(settings)
    for view in VIEWS:
        backend.register(view.name, view.definition)
        apply_rows(view.windowed, backend, past)
    backend.close()
