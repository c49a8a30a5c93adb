"""The situation is what the stores say, at the instant that is asked about."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pandas as pd

from ml_assets.automation.attempts import Attempts
from ml_assets.automation.retraining import Situation
from ml_assets.automation.situation import gather
from ml_assets.core.settings import ROOT, Settings
from ml_assets.core.time import DAY, midnight
from ml_assets.evaluation.comparison import Estimate
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import known_schema
from ml_assets.monitoring.drift.judge import ColumnDrift
from ml_assets.monitoring.drift_report import DriftReport, DriftReports
from ml_assets.monitoring.performance import PerformanceReport, PerformanceReports
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.rollout import Promote, Shadow
from tests.toy import TOY

LABELS = known_schema(TOY)

FIRST = date(2024, 1, 8)
NOON = datetime(2024, 1, 8, 12, tzinfo=UTC)


def know(settings: Settings, *labels: tuple[str, datetime]) -> None:
    """Store labels of events by when they became known."""
    rows = pd.DataFrame({
        "event_id": [event_id for event_id, _ in labels],
        "event_timestamp": pd.to_datetime([at - DAY for _, at in labels]),
        "known_at": pd.to_datetime([at for _, at in labels]),
        "label": True, "basis": "feedback",
    })
    for day, part in rows.groupby(rows["known_at"].dt.date):
        Lake(settings.lake).write("toy", "labels", date.fromisoformat(str(day)), part, LABELS)


def trained(
    settings: Settings, as_of: datetime, learnt_until: datetime | None = None
) -> None:
    """Leave the note that a judged training leaves."""
    folder = TrainingSets(settings, TOY).folder
    folder.mkdir(parents=True, exist_ok=True)
    known = {} if learnt_until is None else {
        "concluded_as_of": as_of.isoformat(), "concluded_learnt_until": learnt_until.isoformat()}
    (folder / "latest.json").write_text(json.dumps({"as_of": as_of.isoformat(), **known}))


def ask(settings: Settings, now: datetime) -> Situation:
    return gather(TOY, settings, now)


def test_an_empty_installation_has_nothing_to_say(settings: Settings) -> None:
    assert ask(settings, NOON) == Situation(now=NOON)


def test_before_the_first_training_every_known_label_is_new(settings: Settings) -> None:
    know(settings, ("a", NOON - 9 * DAY), ("b", NOON - DAY), ("c", NOON + DAY))
    assert ask(settings, NOON).new_labels == 2


def test_labels_count_from_the_last_training_on_and_before_now(settings: Settings) -> None:
    """An event whose label was corrected counts once."""
    tick = timedelta(microseconds=1)
    know(settings, ("too early", NOON - tick), ("first", NOON), ("again", NOON + DAY),
         ("again", NOON + DAY + tick), ("last", NOON + 2 * DAY - tick), ("late", NOON + 2 * DAY))
    trained(settings, NOON)
    found = ask(settings, NOON + 2 * DAY)
    assert found.new_labels == 3
    assert found.last_trained_at == NOON


def test_a_label_of_a_day_that_was_open_during_the_training_is_new(settings: Settings) -> None:
    """It was filed at the day's end: the training at noon could not know it."""
    know(settings, ("old", NOON - DAY), ("morning", NOON - timedelta(hours=2)))
    trained(settings, NOON, learnt_until=midnight(FIRST))
    assert ask(settings, NOON + DAY).new_labels == 1


def test_a_clock_that_was_set_back_neither_repeats_nor_loses_what_was_learnt(
    settings: Settings
) -> None:
    """By an hour or a week: what counts is which closed days the training knew."""
    know(settings, ("old", NOON - DAY), ("next", NOON + timedelta(hours=1)))
    trained(settings, NOON + 7 * DAY, learnt_until=midnight(FIRST))
    found = ask(settings, NOON)
    assert (found.last_trained_at, found.new_labels) == (midnight(FIRST), 0)
    assert ask(settings, NOON + DAY).new_labels == 1
    trained(settings, NOON + 3650 * DAY)
    found = ask(settings, NOON)
    assert (found.last_trained_at, found.new_labels) == (None, 1), "of days that never were"


def test_a_challenger_is_on_trial_and_a_watched_predecessor_is_not(settings: Settings) -> None:
    """Only of a challenger something is awaited that a new candidate could ask again."""
    deployments = Deployments(settings.deployments)
    act = partial(deployments.act, "toy", reason="test", by="test")
    act(Promote(version=1), at=NOON)
    assert ask(settings, NOON).on_trial == ()
    act(Shadow(version=2), at=NOON)
    assert ask(settings, NOON).on_trial == (2,)
    act(Promote(version=2, watched=True), at=NOON + DAY)
    assert ask(settings, NOON + DAY).on_trial == ()


def test_what_the_caller_knows_is_passed_on(settings: Settings) -> None:
    found = gather(TOY, settings, NOON, Attempts(at=NOON - DAY, failed=2, in_progress=True))
    assert found.training_in_progress
    assert (found.attempted_at, found.failed) == (NOON - DAY, 2)


def test_the_champion_is_as_old_as_its_first_deployment(settings: Settings) -> None:
    deployments = Deployments(settings.deployments)
    for version, days in ((1, 0), (2, 3)):
        deployments.promote("toy", version, reason="test", by="test", at=NOON + days * DAY)
    assert ask(settings, NOON + 5 * DAY).champion_age == 2 * DAY
    deployments.rollback("toy", reason="test", by="test", at=NOON + 5 * DAY)
    assert ask(settings, NOON + 6 * DAY).champion_age == 6 * DAY


def test_alarms_come_from_the_latest_reports(settings: Settings) -> None:
    column = ColumnDrift(
        name="amount", effect=1.0, log_e=9.0, says="higher", reference_missing=0.0, missing=0.0,
        drifted=True, days=4, confirmed_on=FIRST,
    )
    for days, columns in ((0, ()), (1, (column,))):
        DriftReports(settings, TOY).write(DriftReport(
            day=FIRST + timedelta(days=days), model_version=1, reference="set1",
            reference_rows=9, rows=9, judged=True, columns=columns,
            confirmed_since=FIRST if columns else None, note=""))
    nothing = Estimate(value=None, low=None, high=None)
    PerformanceReports(settings, TOY).write(PerformanceReport(
        day=FIRST + DAY, champion=1, live=(), held_out_loss=nothing, fallen=True,
        fallen_since=FIRST + DAY, note=""))
    found = ask(settings, NOON + 3 * DAY)
    assert found.drift_confirmed == ("amount",)
    assert found.drift_confirmed_at == datetime(2024, 1, 9, tzinfo=UTC)
    assert found.fallen_at == datetime(2024, 1, 10, tzinfo=UTC)


def test_gathering_imports_neither_torch_nor_feast_nor_mlflow(settings: Settings) -> None:
    """Sensors ask every half minute, in a process that should stay light."""
    code = (
        "import sys, pathlib, datetime\n"
        "from ml_assets.core.settings import Settings\n"
        "from ml_assets.automation.situation import gather\n"
        "from tests.toy import TOY\n"
        "now = datetime.datetime.now(datetime.UTC)\n"
        "gather(TOY, Settings(var=pathlib.Path(sys.argv[1])), now)\n"
        "print({'torch', 'feast', 'mlflow', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(settings.var)],
                            capture_output=True, text=True, check=False, cwd=ROOT)
    assert answer.stdout.strip() == "set()", answer.stderr
