"""The log gets one line of a kind and minute, and the count of those that were held back."""

from __future__ import annotations

import logging

import pytest

from ml_assets.core.runtime.sparse_log import MINUTE_S, MOST_KINDS, SparseLog
from ml_assets.serving.telemetry.logs import OncePerMinute

LOG = logging.getLogger("ml_assets.test")


class Watch:
    """Seconds that a test advances."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def lines(watch: Watch) -> SparseLog:
    return SparseLog(watch)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_the_first_of_a_kind_is_logged_and_the_others_are_counted_in_the_next_line(
    lines: SparseLog, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(42):
        lines.say(LOG, logging.WARNING, "a", "refused %d", n)
        watch.at += 1
    assert said(caplog) == ["refused 0"]
    watch.at += MINUTE_S
    lines.say(LOG, logging.WARNING, "a", "refused %d", 42)
    assert said(caplog) == ["refused 42 (41 more like it before this one were not logged)"]


def test_kinds_do_not_hold_each_other_back(
    lines: SparseLog, caplog: pytest.LogCaptureFixture
) -> None:
    for kind in ("a", "b", "a", "b"):
        lines.say(LOG, logging.WARNING, kind, "%s", kind)
    assert said(caplog) == ["a", "b"]


def test_what_was_held_back_is_told_when_its_minute_is_over_though_nothing_follows(
    lines: SparseLog, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        lines.say(LOG, logging.ERROR, "a", "it broke")
    lines.say(LOG, logging.ERROR, "alone", "once")
    said(caplog)
    watch.at += MINUTE_S - 1
    lines.tell_rest()
    assert said(caplog) == []
    watch.at += 1
    lines.tell_rest()
    assert said(caplog) == ["2 more lines like this one were not logged: it broke"]
    lines.tell_rest()
    assert said(caplog) == []


def test_at_the_end_all_is_told(lines: SparseLog, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        lines.say(LOG, logging.ERROR, "a", "it broke")
    lines.tell_rest(all_of_them=True)
    assert len(said(caplog)) == 2


def test_a_trace_is_logged_with_its_line_and_held_back_with_it(
    lines: SparseLog, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        lines.say(LOG, logging.ERROR, "a", "it broke", error=ValueError("x"))
    assert [bool(record.exc_info) for record in caplog.records] == [True]


def test_kinds_without_end_are_one_kind(
    lines: SparseLog, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(3 * MOST_KINDS):
        lines.say(LOG, logging.WARNING, n, "%d", n)
    assert len(said(caplog)) == MOST_KINDS + 1


def test_of_what_the_server_says_about_connections_one_warning_of_a_kind_passes() -> None:
    once = OncePerMinute()
    records = [logging.makeLogRecord({"msg": text, "levelno": level}) for text, level in [
        ("Invalid HTTP request received.", logging.WARNING)] * 3
        + [("Started server process", logging.INFO)] * 2]
    assert [once.filter(record) for record in records] == [True, False, False, True, True]
