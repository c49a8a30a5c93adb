"""What audits say is told in words, with intervals."""

from __future__ import annotations

import doctest
from dataclasses import replace
from datetime import date, timedelta

import pandas as pd
import pytest

from ml_assets.core.feedback import Audit, FeedbackPolicy
from ml_assets.core.settings import Settings
from ml_assets.core.time import midnight
from ml_assets.core.truths import Complaints
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import audits_schema
from ml_assets.monitoring import audited as module
from ml_assets.monitoring.audited import Audited, audit_figures, audited
from ml_assets.monitoring.reports import decode, encode
from tests.toy import TOY

DAY = date(2024, 3, 1)
AUDITED = replace(
    TOY, feedback=FeedbackPolicy(audit=Audit(share=0.1)),
    truth=Complaints(source="buyer", within=timedelta(days=1), maturity=timedelta(days=2)))


def audits(settings: Settings, *, mistakes: int, reported: int, answered: int) -> None:
    """So many of the answered ones are mistakes, so many of which anybody reported; one more
    audit has no answer."""
    at, schema = pd.Timestamp(DAY, tz="UTC"), audits_schema(AUDITED)
    rows = [(f"e{n}", at, at, f"p{n}", True, n < mistakes if n < answered else None, n < reported,
             0.1) for n in range(answered + 1)]
    Lake(settings.lake).write(
        "toy", "audits", DAY, pd.DataFrame(rows, columns=schema.names), schema)


def told(settings: Settings) -> Audited:
    found = audited(Lake(settings.lake), AUDITED, midnight(DAY + timedelta(days=1)))
    assert found is not None
    return found


def test_the_examples_of_the_module_hold() -> None:
    failed, tried = doctest.testmod(module)
    assert (failed, tried) == (0, 1)


def test_the_share_of_mistakes_that_is_reported_comes_with_its_interval(
    settings: Settings
) -> None:
    """Its interval covers a share of 90%; an audit that nobody answered says nothing."""
    audits(settings, mistakes=20, reported=17, answered=400)
    found = told(settings)
    whole = found.reported_of_all
    assert found.answered == 400 and whole is not None and whole.value == pytest.approx(0.85)
    assert whole.low is not None and whole.high is not None
    assert 0.6 < whole.low < 0.7 and 0.9 < whole.high < 0.97
    assert audit_figures(found) == {
        "audited": 400, "audited_error_rate": pytest.approx(0.05),
        "reported_of_True": pytest.approx(0.85), "audits": found.says}
    assert found.says.startswith("400 answered: 5.0% wrong [3.")
    assert "; of these 85% reported [6" in found.says


def test_of_no_mistake_no_share_is_told(settings: Settings) -> None:
    audits(settings, mistakes=0, reported=0, answered=50)
    assert told(settings).says.startswith("50 answered: 0.0% wrong [0.0%, ")
    assert "reported" not in told(settings).says


def test_without_audits_nothing_is_told(settings: Settings) -> None:
    assert audited(Lake(settings.lake), TOY, midnight(DAY)) is None
    assert audit_figures(None) == {}


def test_a_report_of_before_is_read_and_tells_what_it_has(settings: Settings) -> None:
    """It has no share of all mistakes."""
    audits(settings, mistakes=20, reported=17, answered=400)
    kept = encode(told(settings))
    assert decode(Audited, kept) == told(settings)
    del kept["reported_of_all"]
    assert decode(Audited, kept).says == told(settings).says.partition(";")[0]
