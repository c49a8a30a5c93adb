"""MovieLens-100k: who rated which film, and when, from September 1997 to April 1998.

Collected by GroupLens (Harper and Konstan, "The MovieLens Datasets: History and Context", 2015)
and packed into the Python package `recbole`, which is downloaded and not installed. A rating is
the only trace that a film was watched, so each is one.

Three quarters of the ratings share their second with others of the same viewer. Which of them came
first nobody knows, and a hash decides: never a film's number, for small numbers are popular films.
"""

from __future__ import annotations

from collections.abc import Mapping

from ml_assets.ingest.sources import PackagedFile, SqlQuery, WheelPackage
from ml_assets.systems.movies.affinity import GENRES

PACKAGE = WheelPackage(
    name="recbole",
    version="1.2.1",
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    size_bytes=2_130_151,
)
FILES: Mapping[str, PackagedFile] = {
    kind: PackagedFile(package=PACKAGE, member=f"recbole/dataset_example/ml-100k/ml-100k.{kind}")
    for kind in ("inter", "item", "user")
}
FLAGS = ", ".join(f"contains(lower(\"class:token_seq\"), '{genre}')::int as {genre}"
                  for genre in GENRES)

RATED = """
    select "user_id:token"::varchar as viewer, "item_id:token"::varchar as film,
        "rating:float"::double as stars, to_timestamp("timestamp:float"::bigint) as rated_at
    from inter where hash("user_id:token") % {every} = 0
"""
DESCRIBED = f"""
    select "item_id:token"::varchar as film, "movie_title:token_seq" as title,
        try_cast("release_year:token" as double) as year, {FLAGS}
    from item
"""
PAUSE_MIN, PAGE = 15, 10
"""A visit ends when nothing was rated for so many minutes; a page once so many films were."""

VISITS = f"""
    with after as (
        select *, rated_at - lag(rated_at) over (partition by viewer order by rated_at)
            > interval {PAUSE_MIN} minutes as pause from rated),
    visited as (
        select *, sum(coalesce(pause, true)::int) over (partition by viewer order by rated_at)
            as visit
        from after),
    paged as (
        select *, (rank() over (partition by viewer, visit order by rated_at) - 1) // {PAGE} as page
        from visited)
    select concat(viewer, '-', visit, '-', page) as id, viewer,
        min(rated_at) - interval 1 second as opened, max(rated_at) as left_at, true as answered,
        list(film order by hash(film)) as films
    from paged group by viewer, visit, page order by opened, hash(id)
"""
"""Pages: somebody looks at films, and rates the next ten. What a page showed is not recorded."""
WATCHED = """
    select concat(viewer, '-', film) as id, rated.*, described.* exclude (film, title, year)
    from rated join described using (film) order by rated_at, hash(id)
"""
FILMS = "select *, timestamptz '1997-09-01 00:00:00+00' as since from described"
USERS = """
    select "user_id:token"::varchar as viewer, "age:token"::double as age,
        "gender:token" as gender, "occupation:token" as occupation,
        timestamptz '1997-09-01 00:00:00+00' as since
    from "user"
"""


def movielens(sql: str, *, every: int = 1) -> SqlQuery:
    """A query over the files by their kinds, over `rated` and over `described`.

    every: of so many users one is looked at
    """
    files = {"item": FILES["item"]} if "described" in sql else {}
    parts = [f"described as ({DESCRIBED})"] if "described" in sql else []
    if "rated" in sql:
        files["inter"] = FILES["inter"]
        parts.append(f"rated as ({RATED.format(every=every)})")
    if 'from "user"' in sql:
        files["user"] = FILES["user"]
    if not parts:
        return SqlQuery(sql=sql, files=files)
    head, _, rest = sql.strip().partition("with ")
    return SqlQuery(sql=f"with {', '.join(parts)}{f', {rest}' if not head else f' {sql}'}",
                    files=files)
