"""A system that ranks through the whole loop: lists, pages, choices, closed days, parity."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from time import sleep
from typing import Any

import httpx
import numpy as np
import pytest

from ml_assets.core.settings import ROOT
from ml_assets.core.slates import Nightly, Popular
from ml_assets.core.time import DAY, midnight
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import candidates_schema, events_schema, outcomes_schema
from ml_assets.monitoring.parity import ParityReports
from ml_assets.replay.explain import print_explanation
from ml_assets.targets import Ranking
from ml_assets.training.rows.reading import rows_of
from tests.serving.kit import serving
from tests.tracks import LIVE, PAGE, TRACKS
from tests.whole_loop import WholeLoop, whole_loop

pytestmark = pytest.mark.slow

LISTED = replace(TRACKS, target=Ranking(
    name="played", item="track", user="listener", page=PAGE,
    candidates=Nightly(top=12, pool=24), newcomers=Popular(half_life=timedelta(days=2), top=10)))
NINE = midnight(LIVE) + timedelta(hours=9)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeLoop]:
    with whole_loop(tmp_path_factory.mktemp("tracks"), LISTED) as made:
        made.runs.candidates(LIVE - DAY)
        yield made


@pytest.fixture(scope="module")
def api(loop: WholeLoop) -> Iterator[httpx.Client]:
    with serving(loop) as client:
        yield client


def page(loop: WholeLoop, api: httpx.Client, name: str, at: datetime, **more: Any) -> Any:
    loop.clock.set(at)
    answer = api.post("/v1/tracks/rank", json={
        "event_id": name, "event": {"listener": "l3", "hour": 9}, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def tracks(slate: Any) -> list[int]:
    return [each["item"] for each in slate["items"]]


def play(loop: WholeLoop, api: httpx.Client, slate: Any, track: int, at: datetime) -> None:
    """A listener plays what the page shows: the player tells it, and says so of the page."""
    loop.clock.set(at)
    told = api.post("/v1/tracks/events/plays", json={
        "event_id": f"play {at.isoformat()}", "event": {"listener": "l3", "track": track}})
    said = api.post("/v1/tracks/feedback", json={
        "prediction_id": slate["prediction_id"], "item": track, "label": True, "source": "player"})
    assert (told.status_code, said.status_code) == (200, 200), told.text + said.text


def test_the_lists_of_the_night_before_are_in_the_lake_and_in_the_file(loop: WholeLoop) -> None:
    rows = Lake(loop.settings.lake).read("tracks", "candidates", candidates_schema(LISTED))
    assert set(rows["user"]) == {"", *(f"l{n}" for n in range(10))}
    assert rows.groupby("user")["item"].nunique().tolist() == [10, *[12] * 10]
    assert rows["score"].between(0, 1).all()
    assert set(rows["model_version"]) == {1}


def test_a_page_changes_after_each_choice_and_the_day_is_proved(
    loop: WholeLoop, api: httpx.Client
) -> None:
    """What was played a second ago leads the next page; parity, labels and lists follow."""
    before = page(loop, api, "one", NINE)
    listed = Lake(loop.settings.lake).read("tracks", "candidates", candidates_schema(LISTED))
    assert set(tracks(before)) <= set(listed[listed["user"] == "l3"]["item"])
    chosen = tracks(before)[3]
    play(loop, api, before, chosen, NINE + timedelta(seconds=20))
    after = page(loop, api, "two", NINE + timedelta(seconds=21))
    assert tracks(after)[0] == chosen
    other = tracks(after)[-1]
    play(loop, api, after, other, NINE + timedelta(seconds=40))
    third = page(loop, api, "three", NINE + timedelta(seconds=41))
    assert tracks(third) != tracks(after)
    assert tracks(third).index(other) < tracks(after).index(other)
    assert page(loop, api, "one", NINE + timedelta(hours=1)) == before

    loop.close(LIVE)
    report = ParityReports(loop.settings, LISTED).read(LIVE)
    assert report is not None
    assert (report.checked, report.unexplained, report.unparsable) == (15, 0, 0)
    outcomes = Lake(loop.settings.lake).read("tracks", "outcomes", outcomes_schema(LISTED))
    by_row = dict(zip(outcomes["event_id"], outcomes["label"], strict=True))
    assert by_row == {f"{name}#{n}": (name, n) in {("one", 4), ("two", 5)}
                      for name in ("one", "two", "three") for n in range(1, 6)}
    with closing(EventLog(loop.settings.event_log)) as log:
        assert log.count("tracks") == (15, 2)
    system = replace(LISTED, model=replace(LISTED.model, holdout=timedelta(seconds=10)))
    made = TrainingSets(loop.settings, system).build(midnight(LIVE) + DAY)
    shown = rows_of(system, made, "train").shown
    assert shown is not None and shown.sum() == 10 and shown[-10:].all(), "the third is held out"
    listed = Lake(loop.settings.lake).read("tracks", "candidates", candidates_schema(LISTED),
                                           start=LIVE)
    newcomer = page(loop, api, "new", midnight(LIVE) + DAY + timedelta(hours=9),
                    event={"listener": "nobody yet", "hour": 9}, n=10)
    assert sorted(tracks(newcomer)) == sorted(listed[listed["user"] == ""]["item"])


def at_midnight(
    api: httpx.Client, end: datetime, event: dict[str, Any], items: Iterable[int]
) -> Any:
    """A slate of these items. After a day was closed the store may be late at first."""
    for number in range(20):
        answer = api.post("/v1/tracks/rank", json={
            "event_id": f"midnight {number} of {event['listener']}", "event": event, "n": 12,
            "event_timestamp": end.isoformat(), "candidates": list(items)})
        assert answer.status_code == 200, answer.text
        if not (found := answer.json())["degraded"]:
            return found
        sleep(0.5)
    pytest.fail("all of them are degraded")


def test_a_list_scores_its_items_as_serving_does_at_that_instant(
    loop: WholeLoop, api: httpx.Client
) -> None:
    """With all that is derived of features, of the context and of the instant, to the bit."""
    end = midnight(LIVE) + DAY
    lake = Lake(loop.settings.lake)
    lists = lake.read("tracks", "candidates", candidates_schema(LISTED), start=LIVE)
    events = lake.read("tracks", "events", events_schema(LISTED)).sort_values("event_timestamp")
    hours = events.groupby("listener")["hour"].last()
    assert len(hours) > 5
    for user, listed in lists[lists["user"] != ""].groupby("user"):
        answer = at_midnight(api, end, {"listener": user, "hour": hours[user]}, listed["item"])
        served = {each["item"]: each["score"] for each in answer["items"]}
        assert dict(zip(listed["item"], listed["score"], strict=True)) == served
    with closing(EventLog(loop.settings.event_log)) as log:
        row = log.prediction(answer["items"][0]["prediction_id"])
    assert row is not None
    derived = dict(zip(row.feature_names, row.features, strict=True))
    assert np.isfinite([derived["known"], derived["time_of_day"]]).all()


def test_a_slate_is_explained_as_a_whole(
    loop: WholeLoop, api: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was shown where, with its score, and what was taken of it."""
    slate = page(loop, api, "one", NINE)
    loop.clock.set(midnight(LIVE) + DAY)
    print_explanation(slate["prediction_id"], [LISTED], loop.settings)
    told = capsys.readouterr().out.splitlines()
    assert told[0].split() == ["slate", slate["prediction_id"], "of", "request", "one"]
    for each, line in zip(slate["items"], told[-5:], strict=True):
        taken = "True (feedback)" if each["position"] == 4 else "False (silence)"
        assert line == (
            f"position {each['position']}     {each['item']}, score {each['score']:.4f}, "
            f"propensity 1, played: {taken}, prediction {each['prediction_id']}")
    print_explanation(slate["prediction_id"], [LISTED], loop.settings, as_json=True)
    assert [each["item"] for each in json.loads(capsys.readouterr().out)["items"]] == tracks(slate)


COMMAND = re.compile(r"^\$ curl -s localhost:8080(\S+) -d '(.*)'$", re.M)


def transcript() -> list[tuple[str, Any, Any]]:
    """Path, body and answer of each call that docs/rankings.md shows."""
    text = (ROOT / "docs" / "rankings.md").read_text()
    shown = text.partition("## A page that changes")[2].partition("```console\n")[2]
    shown = shown.partition("```")[0].replace("\n   ", "")
    calls = list(COMMAND.finditer(shown))
    ends = [*(each.start() for each in calls[1:]), len(shown)]
    return [(each[1], json.loads(each[2]), json.loads(shown[each.end() : end]))
            for each, end in zip(calls, ends, strict=True)]


def test_the_documented_page_changes_as_it_is_documented(
    loop: WholeLoop, api: httpx.Client
) -> None:
    """The same calls to a real server: answers of the same form, and what was played comes first,
    or second after what was played before it.
    """
    at, calls = NINE + timedelta(hours=3), transcript()
    assert [path.rpartition("/")[2] for path, _, _ in calls].count("rank") == 3
    pages: tuple[list[int], list[int]] = ([], [])
    played: tuple[int, int] | None = None
    for path, body, documented in calls:
        at += timedelta(seconds=10)
        loop.clock.set(at)

        # What stands on the page that this server gave where the documented one has a track.
        here = dict(zip(*pages, strict=True))
        if "item" in body:
            body = {**body, "item": here[body["item"]]}
        elif path.endswith("/plays"):
            played = body["event"]["track"], here[body["event"]["track"]]
            body = {**body, "event": {**body["event"], "track": played[1]}}
        answer = api.post(path, json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert list(found) == list(documented)
        if path.endswith("/rank"):
            assert [list(each) for each in found["items"]] == [
                list(each) for each in documented["items"]]
            pages = tracks(documented), tracks(found)
            if played is not None:
                # A model hardly tells what was played a minute ago from what was played just now.
                assert pages[0][0] == played[0] and played[1] in pages[1][:2]
