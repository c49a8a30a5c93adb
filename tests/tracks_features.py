"""What is remembered of listeners and tracks, in Feast's objects: for tests with real stores."""

from __future__ import annotations

from datetime import timedelta

from feast import Entity, FeatureService, ValueType
from feast.aggregation import Aggregation

from ml_assets.features.declaration import (
    derived_view,
    event_stream,
    label_stream,
    windowed_view,
)
from tests.tracks_functions import heard as heard_of

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def of(
    function: str, window: timedelta, name: str, column: str = "", slide: timedelta = HOUR
) -> Aggregation:
    return Aggregation(function=function, column=column, time_window=window, slide_interval=slide,
                       name=name)


listener = Entity(name="track_listener", join_keys=["listener"], value_type=ValueType.STRING,
                  description="who listens")
track = Entity(name="track_number", join_keys=["track"], value_type=ValueType.INT64,
               description="a track")
plays = event_stream("tracks", "plays")
by_listener = windowed_view(
    "by_listener", system="tracks", entities=[listener], source=plays,
    aggregations=[of("count", DAY, "their_plays_1d"),
                  of("last_n(2)", 2 * DAY, "their_last_2d", "track")],
)
by_track = windowed_view(
    "by_track", system="tracks", entities=[track], source=plays,
    aggregations=[of("count", 2 * DAY, "plays_2d")],
)
suggested = windowed_view(
    "suggested", system="tracks", entities=[track], source=event_stream("tracks"),
    aggregations=[of("count", 2 * DAY, "shown_2d")],
)
together = windowed_view(
    "together", system="tracks", entities=[listener, track], source=plays,
    aggregations=[of("count", DAY, "played_by_them_1d"),
                  of("time_since_last", 2 * DAY, "since_they_played")],
)
chosen = windowed_view(
    "chosen", system="tracks", entities=[track], source=label_stream("tracks"),
    # Labels of silence are loaded once a day.
    aggregations=[of("mean", 5 * DAY, "played_rate_5d", "label", DAY)],
)
heard = derived_view(
    "heard", system="tracks", function=heard_of, gives=["known", "time_of_day"],
    features=[together[["since_they_played"]]],
    columns={"hour": "number", "event_timestamp": "instant"},
)
track_order = FeatureService(
    name="track_order", features=[by_listener, by_track, suggested, together, chosen, heard])
