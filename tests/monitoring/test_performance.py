"""Laws of live quality: only mature events count, and a fall must be beyond chance."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from ml_assets.core.settings import Settings
from ml_assets.evaluation.comparison import Estimate
from ml_assets.evaluation.report import Scored, evaluate
from ml_assets.ingest.tables import outcomes_schema
from ml_assets.monitoring.performance import (
    LiveQuality,
    PerformanceReport,
    PerformanceReports,
    judge_day,
    mature,
    quality,
    table,
)
from ml_assets.monitoring.standards import Standard, first_served, held_out
from tests.toy import TOY
from tests.tracks import TRACKS

OUTCOMES = outcomes_schema(TOY)

MATURITY = TOY.truth.maturity
DAY = date(2024, 1, 20)
END = datetime(2024, 1, 21, tzinfo=UTC)
GOOD = Estimate(value=0.2, low=0.15, high=0.25)


def outcomes(
    count: int = 200,
    *,
    first: datetime = END - MATURITY - timedelta(days=6),
    wrong: float = 0.05,
    version: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Outcomes of events 10 minutes apart, known exactly at maturity."""
    random = np.random.default_rng(seed)
    labels = random.random(count) < 0.4
    decisions = labels ^ (random.random(count) < wrong)
    at = pd.to_datetime([first + timedelta(minutes=10 * n) for n in range(count)], utc=True)
    rows = pd.DataFrame({
        "prediction_id": [f"v{version}p{n}" for n in range(count)],
        "event_id": [f"v{version}e{n}" for n in range(count)],
        "event_timestamp": at,
        "known_at": at + MATURITY,
        "label": labels,
        "basis": "silence",
        "model_version": version,
        "score": np.where(decisions, 0.9, 0.1),
        "decision": decisions,
    })
    return rows.reindex(columns=OUTCOMES.names)


def report(
    rows: pd.DataFrame,
    previous: PerformanceReport | None = None,
    *,
    champion: int | None = 1,
    held_out: Estimate | None = GOOD,
    day: date = DAY,
) -> PerformanceReport:
    return judge_day(day, rows, previous, TOY, champion=champion,
                     standard=Standard(loss=held_out))


def test_the_measures_are_those_of_scikit_learn() -> None:
    rows = outcomes()
    live = quality(TOY.target, rows, days=7, model_version=None)
    assert (live.n, live.labels) == (200, f"200 rows, {rows['label'].sum()} of them True")
    assert live.metrics["roc_auc"].value == pytest.approx(
        roc_auc_score(rows["label"], rows["score"]))
    assert live.loss.value == pytest.approx(log_loss(rows["label"], rows["score"]))
    assert live.error_rate.value == pytest.approx((rows["label"] != rows["decision"]).mean())
    assert live.rates["recall"].value == pytest.approx(rows.loc[rows["label"], "decision"].mean())
    assert live.rates["false_positive_rate"].value == pytest.approx(
        rows.loc[~rows["label"], "decision"].mean())


def estimates(live: LiveQuality) -> list[Estimate]:
    return [live.error_rate, live.loss, *live.rates.values(), *live.metrics.values()]


def test_every_interval_holds_its_value() -> None:
    live = quality(TOY.target, outcomes(), days=7, model_version=None)
    for estimate in estimates(live):
        assert estimate.value is not None and (estimate.low is None) == (estimate.high is None)
        if estimate.low is not None and estimate.high is not None:
            assert estimate.low <= estimate.value <= estimate.high
    assert any(estimate.low is not None for estimate in estimates(live))


def test_a_window_without_events_has_no_rates() -> None:
    live = quality(TOY.target, outcomes(0), days=7, model_version=None)
    assert live.n == 0
    for estimate in estimates(live):
        assert estimate == Estimate(value=None, low=None, high=None)


def test_mistakes_that_are_known_early_do_not_count_before_the_rest_is_known() -> None:
    """On the first days only complaints are known: all outcomes are mistakes."""
    young = outcomes(100, first=END - timedelta(days=2))
    complaints = young[young["label"] != young["decision"]].copy()
    complaints["known_at"] = complaints["event_timestamp"] + timedelta(hours=1)
    assert len(complaints)
    assert mature(complaints, END, maturity=MATURITY, days=7).empty
    assert report(complaints).quality(7) == quality(
        TOY.target, complaints[:0], days=7, model_version=None)


def test_the_window_holds_exactly_its_days_of_mature_events() -> None:
    stop = END - MATURITY
    rows = outcomes(4)
    rows["event_timestamp"] = pd.to_datetime(
        [stop - timedelta(days=7, microseconds=1), stop - timedelta(days=7),
         stop - timedelta(microseconds=1), stop])
    rows["known_at"] = rows["event_timestamp"]
    inside = mature(rows, END, maturity=MATURITY, days=7)
    assert list(inside["event_id"]) == ["v1e1", "v1e2"]


def test_the_last_word_on_an_event_counts_and_only_before_the_end_of_the_day() -> None:
    rows = outcomes(1)
    rows["label"] = False
    corrected = rows.assign(label=True, known_at=END - timedelta(seconds=1))
    later = rows.assign(label=False, known_at=END)
    inside = mature(pd.concat([rows, corrected, later]), END, maturity=MATURITY, days=7)
    assert list(inside["label"]) == [True]


def test_the_order_of_rows_does_not_matter() -> None:
    rows = pd.concat([outcomes(), outcomes(version=2, seed=1)])
    assert report(rows) == report(rows.sample(frac=1, random_state=3))


def test_each_version_is_measured_on_its_own() -> None:
    rows = pd.concat([outcomes(150), outcomes(60, version=2, seed=1)])
    found = report(rows)
    assert [(live.days, live.model_version, live.n) for live in found.live] == [
        (7, None, 210), (7, 1, 150), (7, 2, 60), (28, None, 210), (28, 1, 150), (28, 2, 60)]
    assert list(table(found, TOY.target)["version"]) == ["all", 1, 2, "all", 1, 2]


def test_quality_that_falls_is_seen_and_dated() -> None:
    bad = outcomes(wrong=0.4)
    first = report(bad)
    assert first.fallen
    assert first.fallen_since == DAY
    assert first.fallen_at == END
    assert "is significantly worse than the held-out 0.200 [0.150, 0.250]" in first.note
    second = report(bad, first, day=DAY + timedelta(days=1))
    assert second.fallen_since == DAY
    other = report(bad, first, champion=2)
    assert not other.fallen
    back = report(outcomes(wrong=0.0), second, day=DAY + timedelta(days=2))
    assert (back.fallen, back.fallen_since, back.fallen_at) == (False, None, None)
    assert report(bad, back).fallen_since == DAY


def test_the_standard_is_the_held_out_log_loss_of_the_models_evaluation() -> None:
    rows = outcomes().assign(amount=5.0)
    scored = Scored(version=1, outputs=rows[["score"]].to_numpy(np.float64))
    stored = evaluate(TOY, rows, scored).to_json()
    standard = held_out(TOY.target, json.loads(json.dumps(stored)))
    assert standard.loss is not None
    assert standard.loss.value == pytest.approx(log_loss(rows["label"], rows["score"]))
    assert held_out(TOY.target, None) == Standard()
    assert held_out(TOY.target, {**stored, "format": 1}) == Standard()


def test_a_few_events_or_an_unknown_standard_are_no_fall() -> None:
    bad = outcomes(wrong=0.4)
    few = report(bad[: TOY.drift.min_events - 1])
    assert (few.fallen, few.note) == (
        False, "19 mature outcomes of the champion, 20 needed to judge it")
    assert not report(bad, held_out=None).fallen
    undeployed = report(bad, champion=None)
    assert (undeployed.fallen, undeployed.note) == (
        False, "no model was deployed by the end of the day")


def test_a_model_as_good_as_it_was_held_out_to_be_rarely_seems_to_fall() -> None:
    """A/A: held-out and live events come from one population."""
    falls = 0
    for seed in range(150):
        before = quality(TOY.target, outcomes(150, seed=seed), days=28, model_version=1)
        now = quality(TOY.target, outcomes(150, seed=10_000 + seed), days=28, model_version=1)
        falls += Standard(loss=before.loss).has_fallen(now, loss="log_loss", least=100)[0]
    assert falls <= 3  # 0.3% would be none or one; intervals of 150 rows are a bit narrow


def test_reports_come_back_as_they_were_written(settings: Settings) -> None:
    reports = PerformanceReports(settings, TOY)
    written = report(outcomes(wrong=0.4))
    reports.write(written)
    assert reports.latest() == written
    empty = report(outcomes(0), champion=None, held_out=None, day=DAY + timedelta(days=1))
    reports.write(empty)
    assert reports.latest() == empty
    assert isinstance(empty.live[0], LiveQuality)


def pages(first: date, days: int, *, found_at: int, version: int = 1) -> pd.DataFrame:
    """Outcomes of 30 pages a day of five tracks, of which the one at a position was played."""
    shown = [(day, page, position) for day in range(days) for page in range(30)
             for position in range(1, 6)]
    at = [datetime(first.year, first.month, first.day, tzinfo=UTC) + timedelta(
        days=day, minutes=page) for day, page, _ in shown]
    return pd.DataFrame({
        "prediction_id": [f"{first}-{each}" for each in shown],
        "event_id": [f"{first}-{day}-{page}#{position}" for day, page, position in shown],
        "event_timestamp": pd.to_datetime(at, utc=True),
        "known_at": pd.to_datetime(at, utc=True) + TRACKS.truth.maturity,
        "label": [position == found_at for _, _, position in shown], "basis": "silence",
        "model_version": version, "score": [1 / position for _, _, position in shown],
        "decision": True, "listener": [f"l{page}" for _, page, _ in shown],
    }).reindex(columns=outcomes_schema(TRACKS).names)


def test_a_model_that_selects_is_held_to_its_own_first_days() -> None:
    """A page says how well its own ten are ordered: rows that were drawn are no standard for it.
    Another version's pages do not count, and until two weeks are over nothing is compared."""
    began = datetime(2024, 6, 9, tzinfo=UTC)
    served = pd.concat([pages(began.date(), 7, found_at=1),
                        pages(began.date() + timedelta(days=7), 8, found_at=4)])
    others = pages(began.date(), 8, found_at=5, version=2).assign(
        prediction_id=lambda rows: "other " + rows["prediction_id"],
        event_id=lambda rows: "other-" + rows["event_id"])
    rows = pd.concat([served, others], ignore_index=True)

    def asked(day: int) -> PerformanceReport:
        end = began + timedelta(days=day)
        standard = first_served(TRACKS, rows, end, champion=1, since=began)
        return judge_day((end - timedelta(days=1)).date(), rows, None, TRACKS, champion=1,
                         standard=standard)

    early = asked(14)
    assert not early.fallen and early.held_out_loss is None
    assert early.note == ("not comparable yet: version 1 selects what it is judged by, so it is "
                          "compared with its own first 7 days, from 2024-06-23 on")
    late = asked(15)
    assert late.held_out_loss is not None and late.held_out_loss.value == pytest.approx(0)
    assert late.fallen and late.note.startswith("live ndcg loss 0.5")
    assert "significantly worse than that of its first 7 days, 0.000" in late.note
    nobody = first_served(TRACKS, others, began + timedelta(days=15), champion=1, since=began)
    assert nobody.loss is None and "answered 0 events with an outcome" in nobody.missing
