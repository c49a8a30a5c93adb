"""The lists of a night: what is popular, for whom, in which order, and where the API finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.slates import Nightly, Own, Popular, SlatePolicy
from ml_assets.core.time import DAY, midnight
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.lake_in_sql import open_lake
from ml_assets.ingest.tables import candidates_schema, events_schema, labels_schema
from ml_assets.serving.answer.slates.list_file import ListFile
from ml_assets.serving.batch.candidates import nightly, storing
from ml_assets.serving.batch.candidates.lately import Lately
from ml_assets.serving.batch.candidates.nightly import NightlyScores, OwnItems, UserList
from ml_assets.serving.batch.candidates.plots import coverage_plot
from ml_assets.serving.batch.candidates.storing import MadeLists, load_lists
from tests.serving.shelf import SHELF, ShelfScorer

NIGHT = date(2024, 1, 9)
END = midnight(NIGHT) + DAY
SCORER = ShelfScorer()
POLICY = SlatePolicy(item="film", user="user", page=2,
                     candidates=Nightly(top=3, pool=4, active=timedelta(days=3)),
                     newcomers=Popular(half_life=timedelta(days=1), top=2))


@dataclass(kw_only=True)
class OwnClicks:
    """The features: ann has seen film 02. Remembers how many rows were asked for at once."""

    columns = ("user", "film")
    sizes: list[int] = field(default_factory=list)

    def read(
        self, keys: pd.DataFrame, at: pd.Series[pd.Timestamp], *,
        accepted_at: pd.Series[pd.Timestamp],
    ) -> npt.NDArray[np.float32]:
        assert set(at) == set(accepted_at) == {END}
        self.sizes.append(len(keys))
        return np.array([[0, user == "ann" and film == "film 02"]
                         for user, film in zip(keys["user"], keys["film"], strict=True)],
                        np.float32).reshape(len(keys), 2)


class Shop:
    """A lake that is filled by hand."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.lake = settings, Lake(settings.lake)
        self.labels: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    def took(
        self, film: str, at: datetime, taken: bool = True, user: str = "zoe",
        event_id: str | None = None, known_at: datetime | None = None,
    ) -> None:
        """A label, of an event of its own unless one is named."""
        name = event_id or f"e{len(self.labels)}#1"
        self.labels.append({
            "event_id": name, "event_timestamp": at, "known_at": known_at or at, "label": taken,
            "basis": "feedback", "label_id": f"{name}/{len(self.labels)}", "user": user,
            "film": film, "log_seq": None})

    def looked(self, user: str, at: datetime, hour: float = 20.0) -> None:
        self.events.append({
            "event_id": f"p{len(self.events)}#1", "event_timestamp": at, "accepted_at": at,
            "user": user, "film": "film 09", "hour": hour, "log_seq": None})

    def file(self) -> None:
        for table, rows, instant, schema in (
            ("labels", self.labels, "known_at", labels_schema(SHELF)),
            ("events", self.events, "accepted_at", events_schema(SHELF)),
        ):
            for day in {row[instant].date() for row in rows}:
                self.lake.write("shelf", table, day, pd.DataFrame(
                    [row for row in rows if row[instant].date() == day]), schema)

    def lists(
        self, policy: SlatePolicy = POLICY, scorer: ShelfScorer | None = SCORER,
        history: OwnClicks | None = None,
    ) -> list[UserList]:
        self.file()
        with open_lake(self.settings.lake, [SHELF]) as connection:
            return list(NightlyScores(
                system=SHELF, policy=policy, scorer=scorer, history=history or OwnClicks(),
                end=END, lately=Lately(connection, SHELF, policy, END)).lists())


@pytest.fixture
def shop(settings: Settings) -> Shop:
    shop = Shop(settings)
    for n, film in enumerate(("film 04", "film 04", "film 02", "film 02", "film 03", "film 01")):
        shop.took(film, END - timedelta(hours=2 + n))
    shop.looked("ann", END - timedelta(hours=5))
    shop.looked("bob", END - timedelta(days=2))
    shop.looked("bob", END - timedelta(hours=1))
    shop.looked("old", END - timedelta(days=4))
    return shop


def said(lists: Sequence[UserList]) -> dict[str, list[object]]:
    return {each.user: list(each.items) for each in lists}


def test_a_share_of_a_list_may_be_drawn_from_what_it_would_lack(shop: Shop) -> None:
    """So that another model finds it there; what is best stays, and the draw is the same twice."""
    for number in range(20):
        shop.looked(f"user {number:02}", END - timedelta(hours=1))
    assert POLICY.candidates is not None
    best = {each.user: each.items for each in shop.lists()}
    policy = replace(POLICY, candidates=replace(POLICY.candidates, drawn=0.3))
    drawn = {each.user: each for each in shop.lists(policy)}
    assert drawn == {each.user: each for each in shop.lists(policy)}
    last = set()
    for user, each in drawn.items():
        if user:
            assert each.items[:2] == best[user][:2] and len(each.items) == 3
            assert list(each.scores) == sorted(each.scores, key=lambda score: -(score or 0))
            last.add(each.items[2])
    assert len(last) == 2, "one would be the third, the other would be missing"


def test_every_active_user_has_the_best_of_the_popular_items_and_newcomers_the_popular_ones(
    shop: Shop
) -> None:
    assert said(shop.lists()) == {
        "": ["film 04", "film 02"],
        "ann": ["film 01", "film 03", "film 04"],  # film 02 she has seen
        "bob": ["film 01", "film 02", "film 03"],
    }


def test_a_choice_of_a_half_life_ago_counts_half(settings: Settings) -> None:
    shop, half = Shop(settings), timedelta(days=1)
    shop.took("new", END - half)
    for film, count in (("twice", 2), ("thrice", 3)):
        for _ in range(count):
            shop.took(film, END - 2 * half)
    shop.took("ages ago", END - 11 * half)
    shop.file()
    with open_lake(settings.lake, [SHELF]) as connection:
        found = Lately(connection, SHELF, POLICY, END).popular(Popular(half_life=half), 9)
    assert [(each.item, each.weight) for each in found] == [
        ("thrice", 0.75), ("new", 0.5), ("twice", 0.5)]


def test_the_last_word_on_an_event_counts_and_none_from_after_the_night(settings: Settings) -> None:
    shop = Shop(settings)
    shop.took("film 01", END - timedelta(hours=3), event_id="a#1")
    shop.took("film 01", END - timedelta(hours=3), taken=False, event_id="a#1",
              known_at=END - timedelta(hours=1))
    shop.took("film 02", END - timedelta(hours=3), event_id="b#1")
    shop.took("film 02", END - timedelta(hours=3), taken=False, event_id="b#1",
              known_at=END + timedelta(hours=1))
    shop.took("film 03", END + timedelta(hours=1))
    shop.took("film 04", END - timedelta(hours=3), taken=False)
    assert said(shop.lists()) == {"": ["film 02"]}


OWN = replace(POLICY, candidates=Nightly(top=4, pool=2, own=Own(half_life=DAY, top=2),
                                         active=timedelta(days=3)))


def test_a_users_own_items_are_on_his_list_and_on_no_other(shop: Shop) -> None:
    for hours, film in ((30, "film 07"), (40, "film 08"), (41, "film 08"), (90, "film 05")):
        shop.took(film, END - timedelta(hours=hours), user="bob")
    shop.took("film 06", END - timedelta(hours=3), user="bob", taken=False)
    assert said(shop.lists(OWN)) == {
        "": ["film 04", "film 02"],
        "ann": ["film 04", "film 02"],
        "bob": ["film 02", "film 04", "film 07", "film 08"],  # of his, the two with most weight
    }
    users = [OwnItems(iter([("a", [1]), ("c", [2])])).of(user) for user in "abcd"]
    assert users == [[1], (), [2], ()]


def test_what_was_taken_may_be_told_by_a_stream(settings: Settings) -> None:
    """Of what was taken off the page, no label knows."""
    shop = Shop(settings)
    shop.looked("ann", END - timedelta(hours=5))
    shop.looked("ann", END - timedelta(hours=4))
    shop.looked("bob", END - timedelta(days=2))
    shop.file()
    with open_lake(settings.lake, [SHELF]) as connection:
        lately = Lately(connection, SHELF, POLICY, END)
        assert list(lately.own(Own(stream="events", half_life=DAY))) == [
            ("ann", ["film 09"]), ("bob", ["film 09"])]
        [popular] = lately.popular(Popular(stream="events", half_life=DAY), 5)
    assert popular.item == "film 09" and popular.weight == pytest.approx(
        2 ** (-5 / 24) + 2 ** (-4 / 24) + 2**-2)


def test_equal_scores_leave_the_more_popular_item_first(shop: Shop) -> None:
    class Indifferent(ShelfScorer):
        def outputs(self, texts: Any, dense: Any) -> npt.NDArray[np.float64]:
            return np.full((len(dense), 1), 0.25)

    assert said(shop.lists(scorer=Indifferent()))["bob"] == ["film 04", "film 02", "film 03"]


def test_memory_does_not_grow_with_the_users(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(20):
        shop.looked(f"user {n:02}", END - timedelta(hours=1))
    whole, portions = OwnClicks(), OwnClicks()
    at_once = shop.lists(history=whole)
    monkeypatch.setattr(nightly, "ASKED_AT_ONCE", 9)
    monkeypatch.setattr(nightly, "SCORED_AT_ONCE", 3)
    assert shop.lists(history=portions) == at_once
    assert whole.sizes == [2, 88]
    assert max(portions.sizes) == 8


def test_without_a_model_there_is_the_newcomers_list_alone(shop: Shop) -> None:
    assert shop.lists(scorer=None) == [
        UserList(user="", items=["film 04", "film 02"], scores=[None, None])]


def test_a_system_that_knows_no_users_has_one_list(shop: Shop) -> None:
    policy = replace(POLICY, user=None, candidates=None)
    assert said(shop.lists(policy)) == {"": ["film 04", "film 02"]}


def store(shop: Shop, day: date = NIGHT, version: int | None = 3) -> MadeLists:
    made = MadeLists(day=day, version=version)
    storing._store(shop.lake, SHELF, POLICY, made, iter(shop.lists()))
    return made


def test_lists_reach_the_lake_and_the_file_that_the_api_reads(shop: Shop) -> None:
    made = store(shop)
    rows = shop.lake.read("shelf", "candidates", candidates_schema(SHELF))
    assert made.rows == len(rows) == 8
    assert made.lists == 2 and made.items == {f"film 0{n}" for n in range(1, 5)}
    assert set(rows["basis"]) == {"nightly", "newcomers"}
    assert rows[rows["user"] == "bob"]["position"].tolist() == [1, 2, 3]
    assert load_lists(shop.settings, SHELF, NIGHT)
    file = ListFile(shop.settings.candidates("shelf"), "shelf")
    assert (file.day, file.version, len(file)) == (NIGHT, 3, 3)
    found = file.of("bob")
    assert found is not None and list(found.items) == ["film 01", "film 02", "film 03"]
    assert found.scores.tolist() == rows[rows["user"] == "bob"]["score"].tolist()
    file.close()


def test_an_older_days_lists_do_not_replace_later_ones(shop: Shop) -> None:
    store(shop)
    store(shop, NIGHT - DAY)
    assert load_lists(shop.settings, SHELF, NIGHT)
    assert not load_lists(shop.settings, SHELF, NIGHT - DAY)
    assert load_lists(shop.settings, SHELF, NIGHT), "the same day's again"
    shop.settings.candidates("shelf").write_bytes(b"damaged")
    assert load_lists(shop.settings, SHELF, NIGHT - DAY), "a file that cannot be read has no day"


def test_a_night_with_nothing_has_no_lists_and_says_so(settings: Settings) -> None:
    made = store(Shop(settings), version=None)
    assert (made.rows, made.lists, np.isnan(made.coverage)) == (0, 0, True)
    assert load_lists(settings, SHELF, NIGHT)
    assert ListFile(settings.candidates("shelf"), "shelf").of("") is None
    assert coverage_plot(made, 2).startswith(b"\x89PNG")


def test_coverage_is_the_share_of_popular_items_on_first_pages(shop: Shop) -> None:
    shop.file()
    made = store(shop)
    with open_lake(shop.settings.lake, [SHELF]) as connection:
        made.popular = Lately(connection, SHELF, POLICY, END).popular(POLICY.newcomers, 4)
    assert made.first == {"film 01": 2, "film 03": 1, "film 02": 1}
    assert made.coverage == 0.75
    assert coverage_plot(made, 2).startswith(b"\x89PNG")
