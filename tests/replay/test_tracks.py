"""A system that answers with slates, through the whole loop: shown, taken, learnt and judged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest

from ml_assets import systems
from ml_assets.automation.instance import instance
from ml_assets.core.installation import claim
from ml_assets.core.settings import Settings
from ml_assets.core.slates import row_id, split
from ml_assets.core.time import DAY, midnight
from ml_assets.evaluation.report import EvaluationReport
from ml_assets.ingest.archive import usable
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import batch_schema, outcomes_schema, predictions_schema
from ml_assets.monitoring.parity import ParityReports
from ml_assets.monitoring.performance import PerformanceReports
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.replay.api import Client
from ml_assets.replay.journey import Journey
from ml_assets.replay.live_days import LiveDays
from ml_assets.replay.quality import served
from ml_assets.replay.slates import as_sent
from ml_assets.replay.together.travel import live_through
from tests.features.training_sets.twins import built_as_at_once
from tests.serving.kit import serving
from tests.tracks import LIVE, PAGE, PER_DAY, TRACKS, TRACKS_KNOWN, moments
from tests.whole_loop import WholeLoop, repository_of

pytestmark = pytest.mark.slow

DAYS = 2
MOMENTS = {f"o{each.number}": each for each in moments()}


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """An installation after two live days, and its API."""

    loop: WholeLoop
    http: httpx.Client
    live: LiveDays
    said: list[str] = field(default_factory=list)

    @property
    def lake(self) -> Lake:
        return Lake(self.loop.settings.lake)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    """History, a first model, its lists, and two days of requests and choices."""
    folder = tmp_path_factory.mktemp("tracks")
    settings = Settings(var=folder / "var")
    claim(settings)
    loop = WholeLoop(settings=settings, system=TRACKS)
    with (pytest.MonkeyPatch.context() as patch, repository_of(folder / "repository", TRACKS)):
        patch.setenv("DAGSTER_HOME", str(settings.dagster_home))
        patch.setattr(systems, "SYSTEMS", (TRACKS,))  # where loads find who parses what was told
        loop.begin(instance(settings))
        loop.runs.candidates(LIVE - DAY)
        yield from _two_days(loop, folder)


def _two_days(loop: WholeLoop, folder: Path) -> Iterator[Replayed]:
    with serving(loop) as http:
        history = usable(TRACKS, TRACKS.source.archive(Path()))
        (folder / "live").mkdir()
        live = LiveDays(as_sent(TRACKS, history), TRACKS.calendar.live_from, folder / "live")
        said: list[str] = []
        journey = Journey(system=TRACKS, settings=loop.settings, runs=loop.runs, events=live,
                          until=LIVE + timedelta(days=DAYS),
                          say=lambda at, text: said.append(text))
        api = Client(http=http, system="tracks", server=cast("Any", None))
        journey.start(LIVE)
        for number in range(DAYS):
            live_through([journey], LIVE + timedelta(days=number), {"tracks": api})
        loop.runs.batch(LIVE)
        yield Replayed(loop=loop, http=http, live=live, said=said)


def test_each_request_is_answered_with_a_page_of_different_tracks(replayed: Replayed) -> None:
    """And each shown track is a prediction of its own, logged under its position."""
    with closing(EventLog(replayed.loop.settings.event_log)) as log:
        predictions, _ = log.count("tracks")
        assert predictions == DAYS * PER_DAY * PAGE
        for request in replayed.live.day(LIVE):
            answers = log.answers_to("tracks", [row_id(request.event_id, place + 1)
                                                for place in range(PAGE)])
            assert len({answer.request for answer in answers.values()}) == PAGE


def test_what_was_shown_and_taken_is_true_and_the_rest_false_after_ten_minutes(
    replayed: Replayed,
) -> None:
    """Nothing else becomes known: a track that was played and not shown is nobody's label."""
    outcomes = replayed.lake.read("tracks", "outcomes", outcomes_schema(TRACKS))
    assert len(outcomes) > DAYS * PER_DAY * PAGE * 0.95
    rows: Any = outcomes.itertuples()
    for row in rows:
        request, _ = split(str(row.event_id)) or ("", 0)
        moment = MOMENTS[request]
        assert (row.listener, bool(row.label)) == (
            moment.listener, row.track == moment.played)
        assert row.basis == ("feedback" if row.label else "silence")
        late = row.known_at - row.event_timestamp
        assert late == (moment.played_at - moment.at if row.label else timedelta(minutes=10))
    assert 0.05 < outcomes["label"].mean() < 1 / PAGE


def test_every_served_vector_is_recomputed_bit_by_bit(replayed: Replayed) -> None:
    """Those of a slate too, whose tracks were chosen after the request came. On a busy machine the
    store may answer too late: such a slate is degraded, and has no vectors to compare.
    """
    reports = [ParityReports(replayed.loop.settings, TRACKS).read(LIVE + timedelta(days=day))
               for day in range(DAYS)]
    found = [report for report in reports if report is not None]
    assert len(found) == DAYS
    for report in found:
        assert report.holds, report
        assert report.checked + report.degraded == PER_DAY * PAGE, report
    assert any(report.checked for report in found), found


def test_a_batch_finds_the_features_that_the_shown_rows_had(replayed: Replayed) -> None:
    """To the bit. Labels reach the online store at the end of a day: only what is made of them may
    differ.
    """
    read = replayed.lake.read
    batch = read("tracks", "batch_predictions", batch_schema(TRACKS)).set_index("event_id")
    answers = read("tracks", "predictions", predictions_schema(TRACKS)).set_index("event_id")
    both = answers.join(batch, how="inner", rsuffix="_batch")
    assert len(both) == PER_DAY * PAGE
    both = both[~both["degraded"].astype(bool)]
    [names, *_] = both["feature_names"]
    known = np.array(["played_rate" not in name for name in names])
    rows: Any = both.itertuples()
    for row in rows:
        online, offline = np.array(row.features), np.array(row.features_batch)
        assert np.array_equal(online[known], offline[known], equal_nan=True)


def test_a_training_set_knows_where_each_row_stood_and_how_probable_that_was(
    replayed: Replayed,
) -> None:
    """Of history nobody knows the latter. Its rows are those whose ten minutes have passed."""
    rows = built_as_at_once(
        replayed.loop.settings, TRACKS, midnight(LIVE + timedelta(days=DAYS))).rows
    live = rows["accepted_at"] >= TRACKS.calendar.live_from
    assert live.sum() > PER_DAY * PAGE
    assert rows.loc[~live, "propensity"].isna().all()
    assert rows.loc[live, "propensity"].between(0, 1).all()
    assert rows["propensity"].dropna().nunique() > 1, "some slates explore"
    assert rows["position"].tolist() == [(split(name) or ("", 0))[1] for name in rows["event_id"]]


def test_a_retraining_came_to_a_verdict_on_slates_that_were_shown(replayed: Replayed) -> None:
    """By metrics of a page; those by propensity are known of what the API has shown."""
    registry = ModelRegistry(replayed.loop.settings)
    versions = registry.versions("tracks")
    assert len(versions) > 1, replayed.said
    stored = registry.evaluation("tracks", max(each.version for each in versions))
    assert stored is not None
    report = EvaluationReport.from_json(stored)
    measured = report.metrics.candidate
    assert measured is not None
    assert all(each.value is not None for each in measured.values()), measured
    assert {"mornings", "first"} == set(report.slices)
    assert Deployments(replayed.loop.settings.deployments).current("tracks") is not None


def test_live_performance_is_told_of_pages(replayed: Replayed) -> None:
    report = PerformanceReports(replayed.loop.settings, TRACKS).read(
        LIVE + timedelta(days=DAYS - 1))
    assert report is not None
    live = report.quality(7)
    assert live is not None and live.n > PER_DAY * PAGE
    assert set(live.metrics) == set(TRACKS.target.shown)
    for name in TRACKS.target.shown:
        assert live.metrics[name].value is not None, name
    taken = live.rates["taken"].value
    assert taken is not None and 0.05 < taken < 1 / PAGE


def test_the_summary_of_the_replay_compares_slates(replayed: Replayed) -> None:
    """The loop beside its first model: the same pages, the same vectors, other weights."""
    whole = served(TRACKS, replayed.loop.settings,
                   replayed.live.days(LIVE + timedelta(days=DAYS)))
    assert len(whole.codes) == DAYS * PER_DAY * PAGE
    compared = whole.compared()
    assert compared.champion is not None
    assert compared.candidate["ndcg"].value is not None
    assert compared.candidate["auc"].value is not None and compared.candidate["auc"].value > 0.6
    parts = [week.codes for _, week in whole.weeks()]
    assert np.concatenate(parts).tolist() == whole.codes.tolist()


def test_the_page_changes_with_what_was_played_a_second_ago(replayed: Replayed) -> None:
    """A track that was not on the page is on the next one, as soon as it was played."""
    http, loop = replayed.http, replayed.loop
    at = loop.clock.now() + timedelta(minutes=1)
    listener, came = "l3", []
    wanted: int | None = None
    played = set[int]()
    for number in range(6):
        loop.clock.set(at)
        items = _page(http, f"n{number}", at, listener)
        came.append(wanted in items)
        wanted = next(track for track in range(TRACKS_KNOWN - 1, -1, -1)
                      if track not in played and track not in items)
        played.add(wanted)
        at += timedelta(seconds=20)
        loop.clock.set(at)
        told = http.post("/v1/tracks/events/plays", json={
            "event_id": f"n{number}", "event_timestamp": at.isoformat(),
            "event": {"listener": listener, "track": wanted}})
        assert told.status_code == 200, told.text
        at += timedelta(seconds=1)
    assert came == [False, *[True] * 5]


def _page(http: httpx.Client, name: str, at: datetime, listener: str) -> list[int]:
    """Of all tracks; asked anew if the store was too busy to answer in time."""
    for attempt in range(50):
        answer = http.post("/v1/tracks/rank", json={
            "event_id": f"{name}-{attempt}", "event_timestamp": at.isoformat(), "n": PAGE,
            "event": {"listener": listener, "hour": at.hour},
            "candidates": list(range(TRACKS_KNOWN))}).json()
        if not answer["degraded"]:
            break
        time.sleep(0.1)
    return [each["item"] for each in answer["items"]]
