"""What is remembered of films and of those who watch them, as Feast objects.

Of a film: how many watched it over one day to half a year, and how they liked it. Of a viewer: how
much, how long ago, which twenty films last, and of which genres. Of both: whether it was watched.
"""

from datetime import timedelta

from feast import Entity, FeatureService, ValueType
from feast.aggregation import Aggregation

from ml_assets.features.declaration import derived_view, event_stream, table_view, windowed_view
from ml_assets.systems.movies import FILM_TABLE, VIEWER_TABLE
from ml_assets.systems.movies.affinity import GENRES, affinity

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EVER = 240 * DAY

film = Entity(name="movies_film", join_keys=["film"], value_type=ValueType.STRING,
              description="what is watched")
viewer = Entity(name="movies_viewer", join_keys=["viewer"], value_type=ValueType.STRING,
              description="who watches")
ratings = event_stream("movies", "ratings")


def of(function: str, window: timedelta, slide: timedelta, name: str,
       column: str = "") -> Aggregation:
    return Aggregation(function=function, column=column, time_window=window, slide_interval=slide,
                       name=name)


watched = windowed_view(
    "watched", system="movies", entities=[film], source=ratings,
    aggregations=[
        of("count", DAY, HOUR, "watched_1d"),
        of("count", 3 * DAY, 6 * HOUR, "watched_3d"),
        of("count", 7 * DAY, 12 * HOUR, "watched_7d"),
        of("count", 14 * DAY, DAY, "watched_14d"),
        of("count", 30 * DAY, DAY, "watched_30d"),
        of("count", EVER, 10 * DAY, "watched_ever"),
        of("smoothed_mean(3.5, 5)", 60 * DAY, 5 * DAY, "stars_60d", "stars"),
    ],
    description="How many watch a film, and how they like it.",
)
habits = windowed_view(
    "habits", system="movies", entities=[viewer], source=ratings,
    aggregations=[
        of("count", HOUR, HOUR / 12, "their_films_1h"),
        of("count", DAY, HOUR, "their_films_1d"),
        of("count", EVER, 10 * DAY, "their_films_ever"),
        of("time_since_last", EVER, 10 * DAY, "since_their_last"),
        of("smoothed_mean(3.5, 5)", EVER, 10 * DAY, "their_stars", "stars"),
        of("last_n(20)", EVER, 10 * DAY, "their_last", "film"),
    ],
    description="What somebody watches, how much and how lately.",
)
tastes = windowed_view(
    "tastes", system="movies", entities=[viewer], source=ratings,
    aggregations=[of("mean", EVER, 10 * DAY, f"their_{genre}", genre) for genre in GENRES],
    description="The share of each genre in what somebody watches.",
)
both = windowed_view(
    "both", system="movies", entities=[viewer, film], source=ratings,
    aggregations=[of("count", EVER, 10 * DAY, "watched_by_them")],
    description="Whether somebody has watched a film already.",
)
described = table_view("movies", FILM_TABLE, entities=[film], columns=["year", *GENRES])
known_of = table_view("movies", VIEWER_TABLE, entities=[viewer])
liking = derived_view(
    "liking", system="movies", function=affinity, gives=["affinity"],
    features=[tastes, described[list(GENRES)]],
    description="How much a film's genres are those that somebody watches.",
)
movies_page = FeatureService(
    name="movies_page",
    features=[watched, habits, tastes, both, described, known_of, liking])
