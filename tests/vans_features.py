"""What vans remember of stalls, and what they read of the market's views, in Feast's objects."""

from __future__ import annotations

from feast import FeatureService
from feast.aggregation import Aggregation

from ml_assets.features.declaration import event_stream, windowed_view
from tests.market_features import DAY, HOUR, baskets, looks, moods, stall, stalls, tasted

arrivals = windowed_view(
    "stall_arrivals", system="vans", entities=[stall], source=event_stream("vans"),
    aggregations=[Aggregation(function="count", time_window=DAY, slide_interval=HOUR,
                              name="vans_1d")],
)
vans_state = FeatureService(
    name="vans_state", features=[arrivals, looks[["looks_1d", "mood_12h"]], moods, stalls])
vans_all = FeatureService(
    name="vans_all", features=[arrivals, looks[["looks_1d", "mood_12h"]], moods, stalls,
                               baskets[["price_1d"]], tasted])
