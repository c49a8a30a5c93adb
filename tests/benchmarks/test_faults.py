"""What `ml-assets bench faults` looks at after its kills; the kills are an area of test_areas."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from benchmarks.fault_load.place import Place
from benchmarks.fault_load.traffic import Traffic
from benchmarks.fault_load.verdict import look
from ml_assets.automation.attempts import ASKED_TAG
from ml_assets.automation.dead_runs import DIED_TAG
from ml_assets.automation.instance import instance
from ml_assets.core.settings import Settings
from ml_assets.core.time import EventClock
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import known_schema
from tests.toy import TOY

LABELS = known_schema(TOY)

EARLIER, LATER = (datetime(2002, 8, day, tzinfo=UTC).isoformat() for day in (25, 30))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("ML_ASSETS_VAR", "")
    settings = Settings(var=tmp_path / "var")
    EventLog(settings.event_log).close()
    return Place(settings=settings)


def ask(place: Place, asked_at: str, *, died: bool) -> None:
    """A retraining run of the spam filter that has ended."""
    with instance(place.settings) as opened:
        opened.add_run(dg.DagsterRun(
            job_name="spam_retraining", status=dg.DagsterRunStatus.FAILURE,
            tags={"ml_assets/reason": "labels", ASKED_TAG: asked_at,
                  **({DIED_TAG: "killed"} if died else {})},
        ))


def test_the_look_afterwards_sees_what_was_lost(place: Place) -> None:
    """A harness that sees nothing would report nothing."""
    traffic = Traffic(port=lambda: None)
    traffic.answered["fault-1"] = "p1"
    traffic.said.add(("p1", "ann"))
    found = look(place, traffic, ["mail-1"])
    assert (found.acknowledged, found.lost, found.twice) == (3, 3, 0)


def test_the_look_afterwards_sees_reasons_without_a_verdict_and_with_two(place: Place) -> None:
    """A reason that died is lost unless its training, or a later one, came to a verdict."""
    ask(place, EARLIER, died=True)
    found = look(place, Traffic(port=lambda: None), [])
    assert (found.died, len(found.unsettled), found.settled_twice) == (1, 1, [])
    ask(place, EARLIER, died=False)
    assert look(place, Traffic(port=lambda: None), []).unsettled == []
    ask(place, EARLIER, died=False)
    ask(place, LATER, died=True)
    found = look(place, Traffic(port=lambda: None), [])
    assert found.settled_twice == [f"labels at {EARLIER}"]
    assert found.unsettled == [f"labels at {LATER}"]


def test_a_reason_that_still_stands_at_the_end_is_not_lost(place: Place) -> None:
    """The recorded days may end while a training that died has the declared time to start."""
    place.settings.clock_file("spam").parent.mkdir(parents=True, exist_ok=True)
    EventClock(place.settings.clock_file("spam")).set(datetime(2002, 9, 27, tzinfo=UTC))
    ask(place, EARLIER, died=True)
    assert len(look(place, Traffic(port=lambda: None), []).unsettled) == 1
    known = datetime(2002, 8, 25, tzinfo=UTC)
    label = pd.DataFrame([("mail-1", known, known, True, "feedback")], columns=LABELS.names)
    Lake(place.settings.lake).write("spam", "labels", known.date(), label, LABELS)
    assert look(place, Traffic(port=lambda: None), []).unsettled == []
