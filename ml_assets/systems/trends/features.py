"""What is remembered of each commodity's sales, promotions and prices, as Feast objects.

The shop's own view of commodities is read too: what some households have bought up to now.
"""

from datetime import timedelta

from feast import FeatureService
from feast.aggregation import Aggregation

from ml_assets.features.declaration import derived_view, event_stream, windowed_view
from ml_assets.systems.shop.features import by_commodity, commodity
from ml_assets.systems.trends.compared import GIVES, compared

DAY, WEEK = timedelta(days=1), timedelta(days=7)


def of(function: str, column: str, weeks: int, name: str = "") -> Aggregation:
    """Over the last `weeks` books."""
    return Aggregation(
        function=function, column=column, time_window=weeks * WEEK, slide_interval=DAY,
        name=name or f"{column}_{weeks}w")


recent = windowed_view(
    "recent_sales", system="trends", entities=[commodity], source=event_stream("trends", "sales"),
    aggregations=[
        *(of("mean", "sold", weeks) for weeks in (1, 2, 3, 4, 8, 13)),
        of("std", "sold", 8, "sold_std_8w"),
        *(of("mean", column, weeks) for column in ("mailed", "front", "displayed")
          for weeks in (1, 4)),
        *(of("mean", "price", weeks) for weeks in (1, 13)),
    ],
    description="What a commodity sold for in the last weeks, promoted how, and how dear it was.",
)
comparisons = derived_view(
    "comparisons", system="trends", function=compared, gives=GIVES,
    features=[recent, by_commodity[["commodity_paid_7d", "commodity_paid_28d"]]],
    columns={"mailed": "number", "front": "number", "displayed": "number"},
    description="This week's promotions, and the latest sales, against four usual weeks.",
)
trends_features = FeatureService(
    name="trends_features",
    features=[recent, by_commodity[["commodity_paid_7d", "commodity_paid_28d"]], comparisons])
