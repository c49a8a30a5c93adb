"""The weekly books of a grocer: what each commodity sold for, and what the leaflet promotes.

From the receipts that `systems.shop.source` reads. A week of the data begins on Monday at midnight
in the shop's time zone, at 4 or 5 o'clock UTC. At 5 o'clock the week before is booked, and an hour
later the forecasts of the week that has begun are asked for.
"""

from __future__ import annotations

from ml_assets.ingest.sources import SqlQuery
from ml_assets.systems.shop.source import FILES, SOLD

FIRST_WEEK, LAST_WEEK = 2, 53
"""Of the data. The first one has a Sunday alone."""
FIRST_ASKED = 6
"""The first week that is asked for: four are booked by then."""

MONDAY = "timestamp '2017-01-02 05:00:00' + (week - 2) * interval 7 days"
"""When a week of the data begins."""
FRONT = ("D", "F", "H", "L", "Z")
"""Places of the mailer that are seen without opening it."""

WEEKS = f"""
    sold as ({SOLD}),
    weekly as (
        select commodity, week, sum(paid) as sold, sum(quantity) as units,
            sum(paid + discount) as listed
        from sold group by all),
    kinds as (select commodity, any_value(department) as department from sold group by commodity),
    grid as (
        select commodity, department, week from kinds
        cross join (select unnest(range({FIRST_WEEK}, {LAST_WEEK + 1})) as week))
"""
"""Each commodity in each week, also if nothing was sold."""
PROMOTED = f"""
    promoted as (
        select product_category as commodity, week,
            sum((mailer_location <> '0')::int) as mailed,
            sum((mailer_location in {FRONT})::int) as front,
            sum((display_location <> '0')::int) as displayed
        from promotions join products using (product_id) group by all)
"""
"""How many articles, in how many stores, a week's mailer and displays promote."""


def _query(sql: str) -> SqlQuery:
    return SqlQuery(
        sql=f"with {WEEKS}, {PROMOTED} {sql}",
        files={name: FILES[name] for name in ("transactions", "products", "promotions")})


def booked() -> SqlQuery:
    """What was sold in each week, once it is over."""
    return _query(f"""
        select commodity || ' ' || week as booking, commodity, coalesce(sold, 0.0)::double as sold,
            case when units > 0 then listed / units end as price,
            coalesce(mailed, 0)::double as mailed, coalesce(front, 0)::double as front,
            coalesce(displayed, 0)::double as displayed, {MONDAY} + interval 7 days as booked_at
        from grid left join weekly using (commodity, week)
        left join promoted using (commodity, week) order by booked_at, commodity""")


def asked() -> SqlQuery:
    """The forecasts that are asked for as each week begins, and what it sold in the end."""
    return _query(f"""
        select commodity || ' ' || week as forecast, commodity, department,
            coalesce(mailed, 0)::double as mailed, coalesce(front, 0)::double as front,
            coalesce(displayed, 0)::double as displayed, coalesce(sold, 0.0)::double as sold,
            {MONDAY} + interval 1 hour as asked_at
        from grid left join weekly using (commodity, week)
        left join promoted using (commodity, week) where week >= {FIRST_ASKED}
        order by asked_at, commodity""")
