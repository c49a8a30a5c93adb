"""What is remembered of customers and terminals when a payment arrives, as Feast objects."""

from datetime import timedelta

from feast import Entity, FeatureService, ValueType
from feast.aggregation import Aggregation

from ml_assets.features.declaration import (
    derived_view,
    event_stream,
    label_stream,
    windowed_view,
)
from ml_assets.systems.fraud.derived import DAYS, DELAY, GIVES, compared

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SLIDE = {1: HOUR / 6, 7: HOUR, 30: 6 * HOUR}
"""By days of the window: it is up to a slide shorter than it is called."""

customer = Entity(name="fraud_customer", join_keys=["customer"], value_type=ValueType.INT64,
                  description="whose card it is")
terminal = Entity(name="fraud_terminal", join_keys=["terminal"], value_type=ValueType.INT64,
                  description="where the card is read")
payments, verdicts = event_stream("fraud"), label_stream("fraud")


def _over(function: str, column: str, days: int, name: str, slide: timedelta) -> Aggregation:
    return Aggregation(function=function, column=column, time_window=days * DAY,
                       slide_interval=slide, name=name)


spending = windowed_view(
    "spending", system="fraud", entities=[customer], source=payments,
    aggregations=[
        *(_over("count", "", days, f"customer_payments_{days}d", SLIDE[days]) for days in DAYS),
        *(_over("mean", "amount", days, f"customer_amount_{days}d", SLIDE[days])
          for days in DAYS),
        _over("std", "amount", 30, "customer_amount_std_30d", DAY),
    ],
    description="How often a customer paid lately, and how much.",
)
at_terminal = windowed_view(
    "at_terminal", system="fraud", entities=[terminal], source=payments,
    aggregations=[
        _over("count", "", days, f"terminal_payments_{days}d", HOUR)
        for days in (DELAY, *(days + DELAY for days in DAYS))
    ],
    description="How often somebody paid at a terminal, up to so many days ago.",
)
# A sum of labels moves with each chargeback that is told: silence adds nothing to it.
TOLD = {"refresh": "stream"}
fraud_at_terminal = windowed_view(
    "fraud_at_terminal", system="fraud", entities=[terminal], source=verdicts, tags=TOLD,
    aggregations=[_over("sum", "label", days, f"terminal_fraud_{days}d", HOUR) for days in DAYS],
    description="How many payments at a terminal became known as fraud lately: a week after they "
    "were made.",
)
fraud_of_customer = windowed_view(
    "fraud_of_customer", system="fraud", entities=[customer], source=verdicts, tags=TOLD,
    aggregations=[_over("sum", "label", days, f"customer_fraud_{days}d", HOUR)
                  for days in (7, 30)],
    description="How many of a customer's payments became known as fraud lately.",
)
compared_view = derived_view(
    "compared", system="fraud", function=compared, gives=GIVES,
    columns={"amount": "number", "event_timestamp": "instant"},
    features=[spending, at_terminal, fraud_at_terminal],
    description="The payment beside what its customer usually pays, when in the week it is, and "
    "the share of fraud at its terminal.",
)

fraud_features = FeatureService(
    name="fraud_features", features=[
        spending, at_terminal, fraud_at_terminal, fraud_of_customer, compared_view,
    ],
    description="What is known of a payment when the card is read.",
    tags={"system": "fraud"},
)
