"""Films for somebody who opens a page, by the last films that he watched.

MovieLens-100k: a list for every active viewer at night, and each page in the order that fits what
was watched up to a second ago. Of a page, what he then watched was chosen; the rest was not.
"""

from datetime import date, timedelta

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.data.tables import Table
from ml_assets.core.model import Categories, Minibatch, Model, NextItem, Sequence
from ml_assets.core.policies import RetrainingPolicy, RolloutPolicy, Slice
from ml_assets.core.slates import Nightly, Popular
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.truths import Choices
from ml_assets.ingest.sources import EventRows, Slates
from ml_assets.systems.movies.affinity import GENRES
from ml_assets.systems.movies.source import FILMS, USERS, VISITS, WATCHED, movielens
from ml_assets.targets import Ranking

VIEWER = Column(name="viewer", dtype="text", description="who watches", max_length=40)
FILM = Column(name="film", dtype="category", description="a film's number")
TAKEN = Column(name="films", dtype="category", many=True, description="what was watched of it")
STARS = Column(name="stars", dtype="number", minimum=1, maximum=5, description="one to five")
OF_FILM = tuple(Column(name=genre, dtype="number", minimum=0, maximum=1,
                       description=f"1 for a film of {genre}") for genre in GENRES)

FILM_TABLE = Table(
    name="films", description="what films are", rows=movielens(FILMS), keys=("film",),
    timestamp="since",
    columns=(FILM, Column(name="title", dtype="text", description="its title"),
             Column(name="year", dtype="number", optional=True, description="it came out in"),
             *OF_FILM),
)
VIEWER_TABLE = Table(
    name="viewers", description="what viewers said of themselves", rows=movielens(USERS),
    keys=("viewer",), timestamp="since",
    columns=(VIEWER, Column(name="age", dtype="number", minimum=0, description="in years"),
             Column(name="gender", dtype="category", description="M or F"),
             Column(name="occupation", dtype="category", description="of a list")),
)


def streams(*, every: int = 1) -> tuple[Stream, ...]:
    """Of one of so many viewers."""
    return (
        Stream(
            name="pages", asked=True, description="films that somebody is shown",
            source=Slates(
                requests=EventRows(rows=movielens(VISITS, every=every), columns=(VIEWER, TAKEN),
                                   timestamp="opened", key="id", label="answered",
                                   known_at="left_at"),
                item="film", taken="films", others=40, drawn="evenly"),
            columns=(VIEWER, FILM),
        ),
        Stream(
            name="ratings", description="films that were watched, with one to five stars",
            source=EventRows(rows=movielens(WATCHED, every=every), timestamp="rated_at", key="id",
                             columns=(VIEWER, FILM, STARS, *OF_FILM)),
            columns=(VIEWER, FILM, STARS, *OF_FILM),
        ),
    )


MOVIES = System(
    name="movies",
    description="Which films will this user watch next?",
    owners=("team:films",),
    calendar=Calendar(first_day=date(1997, 9, 20), go_live=date(1998, 2, 1),
                      last_day=date(1998, 4, 30), stretch=14),
    streams=streams(),
    tables=(FILM_TABLE, VIEWER_TABLE),
    entities=(Entity(name="viewer", description="who watches"),
              Entity(name="film", description="what is watched")),
    sticky_by="viewer",
    feature_service="movies_page",
    target=Ranking(name="picked", item="film", user="viewer", page=10, explore=0.05,
                   candidates=Nightly(top=600, pool=800, active=timedelta(days=7)),
                   newcomers=Popular(half_life=timedelta(days=3), top=600)),
    truth=Choices(source="player", within=timedelta(hours=1), rest=False),
    model=Model(
        inputs=(Categories("film"), Sequence("their_last", of="film")),
        without=(*GENRES, *(f"their_{genre}" for genre in GENRES)),
        network=NextItem(
            item="film",
            context=("their_films_1h", "their_films_1d", "their_films_ever", "since_their_last",
                     "their_stars", "age", "gender", "occupation")),
        fit=Minibatch(epochs=6, rate=2e-3, patience=2),
        holdout=timedelta(days=7),
    ),
    slices=(
        Slice(name="newcomers", where="coalesce(their_films_ever, 0) < 5",
              description="who has watched less than five films"),
        Slice(name="returning", where="their_films_ever >= 5 and their_films_1h = 0",
              description="the first page of somebody who comes back"),
        Slice(name="popular", where="watched_7d >= 20", description="films that many watch"),
        Slice(name="rare", where="watched_30d < 5", description="films that few watch"),
    ),
    retraining=RetrainingPolicy(
        after_labels=2000, max_age=timedelta(days=14), cooldown=timedelta(days=4)
    ),
    # New films appear every week: a fresh model comes in unless it is seen to be worse, by pages of
    # its own for some days. Twenty users a day need half of the traffic to tell.
    rollout=RolloutPolicy(shares=(0.5,), deadline=timedelta(days=5), at_deadline="promote"),
)
