"""An audited sample tells how many mistakes are reported, and what those that are stand for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from ml_assets.core.errors import DeclarationError
from ml_assets.core.feedback import Audit, FeedbackPolicy, TrustClass
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.target import Label
from ml_assets.core.time import DAY, midnight
from ml_assets.core.truths import Choices, Complaints
from ml_assets.ingest.audits import ALL, Reporting, Reports, due, label_weights, reporting
from ml_assets.ingest.daily import store_labels
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog, Feedback, Prediction
from ml_assets.ingest.tables import predictions_schema
from ml_assets.serving.batch.tables import served_rows
from ml_assets.targets import Classes, Number
from tests.places import file_of
from tests.toy import TOY

TRUTH = Complaints(source="buyer", within=1 * DAY, maturity=2 * DAY)
AUDITED = FeedbackPolicy(trusted=(TrustClass(name="reader", sources=("buyer",)),), crowd=None,
                         audit=Audit(share=0.2))
FILTER = replace(TOY, truth=TRUTH, feedback=AUDITED)
"""People report wrong decisions."""
FORECAST = replace(
    FILTER, target=Number(name="delay", unit="min", minimum=0, maximum=600, tolerance=5), gates=())
"""People complain about forecasts that are far off."""
CLICKS = replace(FILTER, truth=Choices(source="buyer", within=DAY, rest=False))
"""What was shown and not taken."""
LIVE = midnight(TOY.calendar.go_live)
DAYS = [TOY.calendar.go_live + timedelta(days=number) for number in range(12)]
CASES: dict[str, tuple[System, tuple[Label, ...]]] = {
    "filter": (FILTER, (True, False)), "forecast": (FORECAST, (10.0, 40.0, 90.0)),
    "clicks": (CLICKS, (True, False))}


def played(
    system: System, labels: Sequence[Label], settings: Settings, *, reported: dict[Label, float],
    wrong: float = 0.2, count: int = 4_000,
) -> tuple[list[Prediction], dict[str, Label]]:
    """Eight days; people report so many of the mistakes, by what silence would have said, and
    auditors answer all that they are asked. Returns what was answered and what was true."""
    draw, truth = random.Random(3), dict[str, Label]()
    audit = system.feedback.audit
    assert audit is not None
    predictions, words = [], []
    for n in range(count):
        at, name = LIVE + n * 8 * DAY / count, f"p{n}"
        decision = draw.choice(labels)
        said = system.truth.of_silence(decision)
        assert said is not None
        others = [each for each in labels if each != said]
        label = truth[f"e{n}"] = draw.choice(others) if draw.random() < wrong else said
        predictions.append(Prediction(
            prediction_id=name, system="toy", event_id=f"e{n}", event_timestamp=at, accepted_at=at,
            request="{}", features_as_of=at, features=np.zeros(1, np.float32),
            feature_names=("amount",), model_version=1, score=0.7, decision=decision,
            audit=audit.propensity(name)))
        if label != said and draw.random() < reported[said]:
            words.append(Feedback(prediction_id=name, system="toy", label=label, source="buyer",
                                  received_at=at + DAY / 2))
        if predictions[-1].audit is not None:
            words.append(Feedback(prediction_id=name, system="toy", label=label, source="audit",
                                  received_at=at + DAY * 0.9))
    with closing(EventLog(settings.event_log)) as log:
        log.append(predictions)
        for word in sorted(words, key=lambda each: each.received_at):
            log.feedback.add(word)
    store_labels(system, settings, DAYS)
    lake = Lake(settings.lake)
    for day in DAYS:
        lake.write("toy", "predictions", day, served_rows(
            each for each in predictions if each.accepted_at.date() == day),
            predictions_schema(system))
    return predictions, truth


@pytest.mark.parametrize("kind", CASES)
def test_the_sample_is_a_share_of_all_and_the_same_each_time(kind: str) -> None:
    audit = Audit(share=0.1)
    chosen = [f"p{n}" for n in range(20_000) if audit.propensity(f"p{n}") is not None]
    assert len(chosen) / 20_000 == pytest.approx(0.1, abs=0.01)
    assert set(chosen) <= {f"p{n}" for n in range(20_000)
                           if Audit(share=0.3).propensity(f"p{n}") is not None}
    assert CASES[kind][0].feedback.class_of("audit") is not None


@pytest.mark.parametrize("kind", CASES)
def test_audits_tell_which_share_of_the_mistakes_is_reported(
    kind: str, settings: Settings
) -> None:
    system, labels = CASES[kind]
    played(system, labels, settings, reported=dict.fromkeys(labels, 0.4))
    known = reporting(Lake(settings.lake), system, until=midnight(DAYS[-1]))
    assert known is not None and known.audited > 500 and known.propensity == pytest.approx(0.2)
    assert sum(each.reported for each in known.groups.values()) / known.wrong == pytest.approx(
        0.4, abs=0.12)
    assert known.wrong / known.audited == pytest.approx(0.2, abs=0.05)


def test_who_is_told_less_often_is_known_apart(settings: Settings) -> None:
    """What is missed in the inbox is reported, what is lost in the junk is not."""
    played(FILTER, (True, False), settings, reported={True: 0.1, False: 0.8}, count=6_000)
    known = reporting(Lake(settings.lake), FILTER, until=midnight(DAYS[-1]))
    assert known is not None
    shares = {name: each.reported / each.wrong for name, each in known.groups.items()}
    assert shares == {"True": pytest.approx(0.1, abs=0.1), "False": pytest.approx(0.8, abs=0.12)}
    low, high = known.chances(FILTER.target, [True, False])
    assert low == pytest.approx(1 - (1 - shares["True"]) * 0.8)
    assert high == pytest.approx(1 - (1 - shares["False"]) * 0.8)


@pytest.mark.parametrize("kind", CASES)
def test_mistakes_that_became_known_stand_for_all(kind: str, settings: Settings) -> None:
    """Their weights come to the number of mistakes; without audits, to the share that is known."""
    system, labels = CASES[kind]
    predictions, truth = played(system, labels, settings, reported=dict.fromkeys(labels, 0.3),
                                wrong=0.4)
    with closing(EventLog(settings.event_log)) as log:
        told = {each.prediction_id for each in log.feedback.between("toy", LIVE, LIVE + 20 * DAY)}
    ids = [each.event_id for each in predictions]
    silent = [system.truth.of_silence(each.decision) for each in predictions]
    known = [truth[each.event_id] if each.prediction_id in told else said
             for each, said in zip(predictions, silent, strict=True)]
    assert all(each is not None for each in known)
    live_N = np.ones(len(ids), dtype=bool)
    weights_N = label_weights(Lake(settings.lake), system, midnight(DAYS[-1]), ids,
                              [each for each in known if each is not None], live_N)
    apart_N = np.array([a != b for a, b in zip(known, silent, strict=True)])
    mistakes = sum(truth[name] != said for name, said in zip(ids, silent, strict=True))
    assert weights_N.sum() == pytest.approx(len(ids))
    assert (weights_N[~apart_N] < 1).all()
    assert apart_N.sum() < 0.6 * mistakes
    assert weights_N[apart_N].sum() == pytest.approx(mistakes, rel=0.15)
    # What is known later changes no weight of earlier.
    assert (label_weights(Lake(settings.lake), system, LIVE, ids, truth_of(known), live_N)
            == 1).all()


def truth_of(known: Sequence[Label | None]) -> list[Label]:
    return [each for each in known if each is not None]


def test_few_mistakes_tell_nothing() -> None:
    few = Reporting(groups={"True": Reports(wrong=9, reported=1)}, propensity=0.1, audited=90)
    assert few.chances(FILTER.target, [True, False]).tolist() == [1.0, 1.0]
    # Those of another group stand in for a group with few.
    more = replace(few, groups={"False": Reports(wrong=91, reported=49), **few.groups})
    assert more.chances(FILTER.target, [True]).tolist() == [pytest.approx(1 - 0.5 * 0.9)]
    never = Reporting(groups={ALL: Reports(wrong=50, reported=0)}, propensity=0.01, audited=90)
    assert never.chances(FORECAST.target, [10.0]).tolist() == [0.05]


def test_false_reports_that_audits_deny_count_less() -> None:
    known = Reporting(groups={"True": Reports(wrong=40, reported=20, denied=60)}, propensity=0.1,
                      audited=500)
    decisions: Sequence[Label] = [True] * 100
    labels: Sequence[Label] = [False] * 10 + [True] * 90
    weights_N = known.weights(FILTER, labels, decisions)
    assert weights_N[:10] == pytest.approx(np.full(10, 0.25 / 0.55))
    assert weights_N.sum() == pytest.approx(100)


@pytest.mark.parametrize("kind", ["filter", "classes"])
def test_a_report_against_what_the_model_was_sure_of_counts_less(kind: str) -> None:
    """All together stand for as many true ones as audits say; the odds tell which."""
    right: Label
    wrong: Label
    if kind == "filter":
        system, right, wrong = FILTER, True, False
        outputs_NW = np.repeat([0.55, 0.999], 50)[:, None]
    else:
        system = replace(FILTER, gates=(), target=Classes(name="queue", classes=("a", "b", "c")))
        right, wrong = "a", "c"
        outputs_NW = np.repeat([[0.5, 0.1, 0.4], [0.998, 0.001, 0.001]], 50, axis=0)
    known = Reporting(groups={str(right): Reports(wrong=30, reported=30, denied=30)},
                      propensity=0.1, audited=500)
    told = np.arange(100) % 5 == 0
    labels: list[Label] = [wrong if each else right for each in told]
    decisions: list[Label] = [right] * 100
    weights_N = known.weights(system, labels, decisions, outputs_NW)
    unsure, sure = weights_N[told][:10], weights_N[told][10:]
    assert unsure.min() > 0.9 and sure.max() < 0.1
    assert weights_N[told].sum() == pytest.approx(10) and weights_N.sum() == pytest.approx(100)
    # What an audit has found is no rumour.
    audited_N = np.arange(100) == 95
    assert known.weights(system, labels, decisions, outputs_NW, audited_N)[95] == 1


def test_an_audit_is_due_until_it_is_answered_or_silence_speaks(settings: Settings) -> None:
    name = next(f"p{n}" for n in range(100) if Audit(share=0.2).propensity(f"p{n}") is not None)
    made = Prediction(
        prediction_id=name, system="toy", event_id="e", event_timestamp=LIVE, accepted_at=LIVE,
        request="{}", features_as_of=LIVE, features=np.zeros(1, np.float32),
        feature_names=("amount",), model_version=1, score=0.7, decision=True, audit=0.2)
    with closing(EventLog(settings.event_log)) as log:
        log.append([made, replace_id(made, "other")])

        def open_at(hours: int) -> list[str]:
            return [each.prediction_id
                    for each in due(log, FILTER, LIVE + timedelta(hours=hours))]

        assert open_at(1) == [name] and open_at(49) == []
        log.feedback.add(Feedback(prediction_id=name, system="toy", label=False, source="buyer",
                                  received_at=LIVE))
        assert open_at(1) == [name]
        log.feedback.add(Feedback(prediction_id=name, system="toy", label=False, source="audit",
                                  received_at=LIVE + DAY / 24))
        assert open_at(2) == []


def replace_id(made: Prediction, name: str) -> Prediction:
    from msgspec.structs import replace as changed

    return changed(made, prediction_id=name, event_id=name, audit=None)


def test_a_log_of_before_has_no_audits(settings: Settings, tmp_path: Path) -> None:
    import sqlite3

    EventLog(settings.event_log).close()
    with sqlite3.connect(file_of(settings.event_log)) as db:
        db.execute("alter table predictions drop column audit")
    with closing(EventLog(settings.event_log)) as log:
        assert list(due(log, FILTER, LIVE)) == []


def test_without_audits_nothing_is_kept_and_all_rows_count_alike(settings: Settings) -> None:
    plain = replace(FILTER, feedback=replace(AUDITED, audit=None))
    lake = Lake(settings.lake)
    assert reporting(lake, plain, until=LIVE) is None
    assert label_weights(lake, plain, LIVE, ["e"], [True], np.array([True])).tolist() == [1.0]


@pytest.mark.parametrize(("share", "source"), [(0.0, "audit"), (1.1, "audit"), (0.1, "ops:")])
def test_an_audit_that_cannot_be_is_refused(share: float, source: str) -> None:
    with pytest.raises(DeclarationError, match=r"Audit\.s"):
        Audit(share=share, source=source)


def test_the_audit_s_word_is_trusted_and_unlimited() -> None:
    trust = FILTER.feedback.class_of("audit")
    assert trust is not None and trust.unlimited
    assert FILTER.feedback.limit_of("audit") is None
