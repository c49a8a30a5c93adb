"""Ratings become pages that were opened and films that were watched, and tell no order."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.slates import split
from ml_assets.core.source import ArchivedEvent
from ml_assets.ingest.archive import usable
from ml_assets.ingest.sources import SqlQuery
from ml_assets.systems.movies import MOVIES, streams
from ml_assets.systems.movies.affinity import GENRES, affinity
from ml_assets.systems.movies.source import FILMS, USERS, VISITS, WATCHED, movielens

START = datetime(1998, 1, 5, 20, tzinfo=UTC)
ITEMS = """item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq
1\tToy Story\t1995\tAnimation Children's Comedy
2\tGoldenEye\t1995\tAction Adventure Thriller
3\tunknown\t\tunknown
"""


def asked(sql: str, folder: Path, ratings: list[tuple[int, int, float, int]]) -> list[Any]:
    """What a query says of ratings of films at so many seconds."""
    (folder / "item.csv").write_text(ITEMS)
    (folder / "user.csv").write_text(
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
        "7\t24\tM\ttechnician\t85711\n")
    (folder / "inter.csv").write_text("\n".join(
        ["user_id:token\titem_id:token\trating:float\ttimestamp:float",
         *(f"{viewer}\t{film}\t{stars}\t{int(START.timestamp()) + after}"
           for viewer, film, stars, after in ratings)]))
    declared = movielens(sql)
    query = SqlQuery(sql=declared.sql,
                     files={name: str(folder / f"{name}.csv") for name in declared.files})
    return [row for batch in query.batches(query.fetch(folder)) for row in batch.to_pylist()]


def test_a_page_is_opened_before_its_first_film_and_left_after_its_last(tmp_path: Path) -> None:
    [page] = asked(VISITS, tmp_path, [(7, 1, 4, 0), (7, 2, 3, 60), (7, 3, 5, 300)])
    assert page["viewer"] == "7" and sorted(page["films"]) == ["1", "2", "3"]
    assert page["opened"] == START - timedelta(seconds=1)
    assert page["left_at"] == START + timedelta(seconds=300)


def test_a_page_ends_with_a_pause_and_after_ten_films_but_within_no_second(
    tmp_path: Path
) -> None:
    """Of films of one second nobody knows which came first: all are of one page."""
    tied = [(7, film, 4, 9) for film in range(9, 15)]
    pages = asked(VISITS, tmp_path, [
        *((7, film, 4, film) for film in range(9)), *tied, (7, 20, 4, 30), (7, 21, 4, 5_000)])
    assert [len(page["films"]) for page in pages] == [15, 1, 1]


def test_a_rating_has_its_films_genres(tmp_path: Path) -> None:
    rows = asked(WATCHED, tmp_path, [(7, 2, 3, 0), (8, 3, 5, 1)])
    assert [row["id"] for row in rows] == ["7-2", "8-3"]
    assert [name for name in GENRES if rows[0][name]] == ["action", "thriller", "adventure"]
    assert not any(rows[1][name] for name in GENRES)


def test_films_and_viewers_are_known_from_the_first_day_on(tmp_path: Path) -> None:
    films, viewers = asked(FILMS, tmp_path, []), asked(USERS, tmp_path, [])
    assert [(row["film"], row["year"]) for row in films] == [("1", 1995), ("2", 1995), ("3", None)]
    assert viewers[0]["age"] == 24
    first = MOVIES.calendar.first_day
    assert all(row["since"].date() < first for row in [*films, *viewers])


def test_an_affinity_is_the_mean_share_of_a_films_genres() -> None:
    rows = {**{f"their_{name}": np.array([0.0, np.nan]) for name in GENRES},
            **{name: np.zeros(2) for name in GENRES}}
    rows |= {"their_drama": np.array([0.6, np.nan]), "drama": np.ones(2),
             "their_comedy": np.array([0.2, np.nan]), "comedy": np.ones(2)}
    found = affinity(rows)["affinity"]
    assert found[0] == pytest.approx(0.4) and np.isnan(found[1])


@pytest.fixture(scope="module")
def archived() -> dict[str, list[ArchivedEvent]]:
    """Every usable event of one viewer in forty, by stream, as it was published."""
    few = streams(every=40)
    return {each.name: list(each.source.archive(each.source.fetch(Settings().cache)))
            for each in few}


def test_all_that_was_published_can_be_used(archived: dict[str, list[ArchivedEvent]]) -> None:
    pages = list(usable(MOVIES, iter(archived["pages"])))
    assert len(pages) == len(archived["pages"]) > 3_000
    ratings = archived["ratings"]
    taken = {(row.request["viewer"], row.request["film"]) for row in pages if row.outcome}
    assert taken == {(row.request["viewer"], row.request["film"]) for row in ratings}


def test_no_number_of_a_film_and_no_position_tells_what_was_taken(
    archived: dict[str, list[ArchivedEvent]]
) -> None:
    """Small numbers are popular films: whoever sorts by them in a page knows them beforehand."""
    place = Counter[bool]()
    for row in archived["pages"]:
        _, position = split(row.event_id) or ("", 0)
        place[bool(row.outcome)] += position
    taken = sum(bool(row.outcome) for row in archived["pages"])
    means = [place[True] / taken, place[False] / (len(archived["pages"]) - taken)]
    assert abs(means[0] - means[1]) < 2
