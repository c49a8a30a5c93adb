"""The event log keeps what was acknowledged, once, whatever happens to its writers."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ml_assets.core.errors import (
    ContractViolation,
    LogBusy,
    LogUnavailable,
    TooOften,
    UnknownName,
)
from ml_assets.core.feedback import FeedbackLimit
from ml_assets.core.settings import ROOT, Ack
from ml_assets.core.storage.places import Place
from ml_assets.ingest.log.answers_digest import digest_of
from ml_assets.ingest.log.event_log import EventLog, Feedback, Prediction, ShadowScore
from ml_assets.ingest.log.served import from_us, prediction_id, to_us
from tests.places import told

NOON = datetime(2024, 1, 9, 12, tzinfo=UTC)


def name_of(event_id: str) -> str:
    return prediction_id("toy", event_id)


def prediction(event_id: str, **changes: object) -> Prediction:
    """A prediction for `event_id` of the system `toy`, accepted at noon."""
    usual = Prediction(
        prediction_id=prediction_id(str(changes.get("system", "toy")), event_id),
        system="toy", event_id=event_id, event_timestamp=NOON,
        accepted_at=NOON, request='{"amount": 1}', features_as_of=NOON - timedelta(hours=12),
        features=np.array([1.5, np.nan], np.float32), feature_names=("amount", "returns_7d"),
        model_version=3, score=0.25, decision=False,
    )
    return replace(usual, **changes)


def said(about: str, label: bool, source: str = "buyer", minutes: int = 0) -> Feedback:
    return Feedback(prediction_id=about, system="toy", label=label, source=source,
                    received_at=NOON + timedelta(minutes=minutes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "log.sqlite"


@pytest.fixture
def log(place: Place) -> Iterator[EventLog]:
    log = EventLog(place)
    yield log
    log.close()


@pytest.fixture
def log_file(path: Path) -> EventLog:
    return EventLog(path)


def test_what_was_appended_is_read_back_bit_by_bit(log: EventLog) -> None:
    before = prediction("a", score=0.1 + 0.2, degraded=True, role="challenger", propensity=0.1,
                        event_timestamp=NOON + timedelta(microseconds=1))
    log.append([before])
    after = log.answer_to("toy", "a")
    assert after is not None
    assert after.features.tobytes() == before.features.tobytes()
    blank = np.empty(0, np.float32)
    assert replace(after, features=blank) == replace(before, features=blank, seq=1)
    assert log.prediction(name_of("a")) is not None
    assert log.answer_to("other", "a") is None


def test_an_event_keeps_its_first_answer_and_a_second_append_returns_it(log: EventLog) -> None:
    first, second = prediction("a"), prediction("a", score=0.9, model_version=4)
    assert log.append([first]) == [first]
    [returned] = log.append([second])
    assert (returned.score, returned.model_version) == (0.25, 3)
    assert log.count("toy") == (1, 0)


@pytest.mark.parametrize(("ack", "level"), [("process", 1), ("disk", 2)])
def test_a_transaction_is_as_durable_as_was_asked_for(path: Path, ack: Ack, level: int) -> None:
    """SQLite's levels: 1 is NORMAL, 2 is FULL."""
    connection = EventLog(path, ack=ack).connection
    assert connection.execute("pragma synchronous").fetchone() == (level,)
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)


def test_answers_without_features_are_counted_by_system(log: EventLog) -> None:
    log.append([prediction("a"), prediction("b", degraded=True),
                prediction("c", degraded=True, system="other")])
    assert (log.degraded("toy"), log.degraded("other"), log.degraded("third")) == (1, 1, 0)


def test_the_same_event_twice_in_one_append_counts_once(log: EventLog) -> None:
    first, again = log.append([prediction("a"), prediction("a", score=0.9)])
    assert again.score == first.score == 0.25
    assert log.count("toy") == (1, 0)


def test_the_same_event_id_of_another_system_is_another_event(log: EventLog) -> None:
    log.append([prediction("a"), prediction("a", system="other")])
    assert log.count("toy") == log.count("other") == (1, 0)


def test_an_append_is_whole_or_nothing(log: EventLog) -> None:
    with pytest.raises(ContractViolation, match=r"event 'b' of 'toy' .score nan. cannot be logged"):
        log.append([prediction("a"), prediction("b", score=float("nan"))])
    assert log.count("toy") == (0, 0)
    log.append([prediction("a")])
    assert log.count("toy") == (1, 0)


def test_a_batch_with_events_that_are_there_stores_the_others_and_says_which(
    log: EventLog,
) -> None:
    """Wherever in the batch they are, and where one comes twice in it."""
    log.append([prediction("b", score=0.9), prediction("e", score=0.9)])
    batch = [prediction(name) for name in "abcedc"]
    stored, new, first = log.append_counted(batch, None)
    assert [p.score for p in stored] == [0.25, 0.9, 0.25, 0.9, 0.25, 0.25]
    assert (new, first) == ([0, 2, 4], 3)
    assert [log.append([each])[0].seq for each in batch[:3]] == [3, 1, 5]
    assert log.count("toy") == (5, 0)
    assert log.append([]) == []


@given(st.lists(st.sampled_from(["a", "b", "c\0", "c", "d", "'"]), max_size=600))
def test_the_answers_to_a_batch_are_those_to_each_event(asked: list[str]) -> None:
    """Those that got none are left out, and another system's."""
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Path(folder) / "log.sqlite")
        log.append([prediction("a"), prediction("c\0"), prediction("'")])
        log.append([prediction("d", system="other")])
        found = log.answers_to("toy", asked)
        assert {name: p.prediction_id for name, p in found.items()} == {
            name: name_of(name) for name in set(asked) & {"a", "c\0", "'"}
        }
        log.close()


def test_a_prediction_id_that_belongs_to_another_event_is_refused(log: EventLog) -> None:
    log.append([prediction("a")])
    with pytest.raises(ContractViolation, match="belongs to another event"):
        log.append([prediction("b", prediction_id=name_of("a"))])


def test_days_are_half_open_and_ordered(log: EventLog) -> None:
    at = [NOON - timedelta(microseconds=1), NOON, NOON + timedelta(hours=1)]
    log.append([prediction(f"e{n}", accepted_at=instant) for n, instant in enumerate(at)])
    found = log.predictions("toy", NOON, NOON + timedelta(hours=1))
    assert [p.event_id for p in found] == ["e1"]
    assert [p.event_id for p in log.predictions("toy", at[0], at[2] + timedelta(days=1))] == [
        "e0", "e1", "e2",
    ]


def test_repeated_feedback_changes_nothing(log: EventLog) -> None:
    log.append([prediction("a")])
    assert log.feedback.add(said(name_of("a"), True))
    assert not log.feedback.add(said(name_of("a"), True, minutes=5))
    assert log.count("toy") == (1, 1)


def test_a_source_may_change_its_mind_and_back_and_all_is_kept(log: EventLog) -> None:
    log.append([prediction("a")])
    words = [(True, "buyer"), (False, "buyer"), (False, "clerk"), (True, "buyer")]
    for minute, (label, source) in enumerate(words):
        assert log.feedback.add(said(name_of("a"), label, source, minute))
    heard = log.feedback.on(name_of("a"))
    assert [(f.label, f.source) for f in heard] == words
    assert list(log.feedback.between("toy", NOON, NOON + timedelta(minutes=3))) == heard[:3]


def test_what_a_source_says_later_is_known_later_whatever_the_clock_does(log: EventLog) -> None:
    """The clock of a replay stands still, and any clock may be set back."""
    log.append([prediction("a")])
    for label, minute in ((True, 5), (False, 5), (True, 0)):
        assert log.feedback.add(said(name_of("a"), label, minutes=minute))
    at = [word.received_at - NOON - timedelta(minutes=5) for word in log.feedback.on(name_of("a"))]
    assert at == [timedelta(microseconds=n) for n in range(3)]


def test_feedback_cannot_be_changed_or_removed(log: EventLog) -> None:
    """Whatever program asks."""
    log.append([prediction("a")])
    log.feedback.add(said(name_of("a"), True))
    for statement in ("update feedback set label = '0'", "delete from feedback"):
        with pytest.raises(log._db.refusals, match="append-only"):
            log._db.execute(statement)
    assert log.count("toy") == (1, 1)


HOURLY = FeedbackLimit(words=3, window=timedelta(hours=1))


def test_a_source_may_say_so_much_in_a_window_and_nothing_beyond_is_stored(log: EventLog) -> None:
    """The window slides: as its oldest word leaves it, one more may be said."""
    log.append([prediction(f"e{n}") for n in range(9)])
    for n, minute in enumerate((0, 20, 40)):
        assert log.feedback.add(said(name_of(f"e{n}"), True, minutes=minute), limit=HOURLY)
    with pytest.raises(TooOften, match="'buyer' has said 3 new things about 'toy'") as refused:
        log.feedback.add(said(name_of("e3"), True, minutes=45), limit=HOURLY)
    assert refused.value.retry_after == timedelta(minutes=15)
    assert not log.feedback.add(said(name_of("e2"), True, minutes=45), limit=HOURLY)
    assert log.feedback.add(said(name_of("e3"), True, "clerk", minutes=45), limit=HOURLY)
    assert log.count("toy") == (9, 4)
    with pytest.raises(TooOften):
        log.feedback.add(said(name_of("e3"), True, minutes=59), limit=HOURLY)
    assert log.feedback.add(said(name_of("e3"), True, minutes=60), limit=HOURLY)
    with pytest.raises(TooOften) as refused:
        log.feedback.add(said(name_of("e4"), True, minutes=60), limit=HOURLY)
    assert refused.value.retry_after == timedelta(minutes=20)


def test_a_limit_is_each_system_s_own(log: EventLog) -> None:
    log.append([prediction("a"), prediction("b"),
                prediction("a", system="other")])
    once = FeedbackLimit(words=1, window=timedelta(days=1))
    assert log.feedback.add(said(name_of("a"), True), limit=once)
    others = replace(said(prediction_id("other", "a"), True), system="other")
    assert log.feedback.add(others, limit=once)
    with pytest.raises(TooOften):
        log.feedback.add(said(name_of("b"), True), limit=once)


def test_when_a_source_first_spoke_is_known_over_all_predictions_of_the_system(
    log: EventLog,
) -> None:
    log.append([prediction("a"), prediction("b"),
                prediction("a", system="other")])
    log.feedback.add(replace(said(prediction_id("other", "a"), True), system="other"))
    log.feedback.add(said(name_of("b"), True, minutes=1))
    log.feedback.add(said(name_of("a"), True, minutes=2))
    log.feedback.add(said(name_of("a"), True, "clerk", minutes=3))
    log.feedback.add(said(name_of("b"), True, "stranger", minutes=4))
    assert log.feedback.first_heard(name_of("a")) == {
        "buyer": NOON + timedelta(minutes=1), "clerk": NOON + timedelta(minutes=3),
    }
    assert log.feedback.first_heard("nowhere") == {}


def test_feedback_on_an_unknown_prediction_or_another_system_is_refused(log: EventLog) -> None:
    log.append([prediction("a")])
    for feedback in (said("nowhere", True), replace(said(name_of("a"), True), system="other")):
        with pytest.raises(UnknownName, match="has made no prediction"):
            log.feedback.add(feedback)
    assert log.count("toy") == (1, 0)


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_survive_to_the_microsecond(instant: datetime) -> None:
    assert from_us(to_us(instant)) == instant


# --- shadows ------------------------------------------------------------------------------


def shadowed(event_id: str, version: int, score: float = 0.5) -> ShadowScore:
    return ShadowScore(prediction_id=name_of(event_id), model_version=version, score=score,
                       scored_at=NOON + timedelta(seconds=1))


def test_a_shadow_s_score_is_kept_once_for_each_prediction_and_version(log: EventLog) -> None:
    log.append([prediction("a"), prediction("b", accepted_at=NOON + timedelta(hours=1))])
    log.shadows.add([shadowed("b", 5), shadowed("a", 5, 0.1 + 0.2), shadowed("a", 4)])
    log.shadows.add([shadowed("a", 5, 0.9), shadowed("b", 4)])
    assert log.shadows.on(name_of("a")) == [shadowed("a", 4), shadowed("a", 5, 0.1 + 0.2)]
    assert list(log.shadows.between("toy", NOON, NOON + timedelta(hours=2))) == [
        shadowed("a", 4), shadowed("a", 5, 0.1 + 0.2), shadowed("b", 4), shadowed("b", 5),
    ]
    assert list(log.shadows.between("toy", NOON, NOON)) == []
    assert list(log.shadows.between("other", NOON, NOON + timedelta(hours=2))) == []


def test_a_shadow_s_score_of_nothing_that_was_answered_is_refused(log: EventLog) -> None:
    log.append([prediction("a")])
    with pytest.raises(LogUnavailable, match=r"(?i)foreign key"):
        log.shadows.add([shadowed("a", 5), shadowed("nowhere", 5)])
    assert log.shadows.on(name_of("a")) == []


# --- a log of the first release -----------------------------------------------------------

OLD = f"""
create table predictions (
    prediction_id  text primary key,
    system         text not null,
    event_id       text not null,
    event_timestamp integer not null,  -- microseconds since 1970, UTC
    accepted_at    integer not null,
    request        text not null,      -- the client's JSON object, as it came
    features_as_of integer not null,
    features       blob not null,      -- float32, little endian, in the order of feature_names
    feature_names  text not null,      -- JSON list
    model_version  integer not null,
    score          real not null,
    decision       integer not null,
    degraded       integer not null,
    unique (system, event_id)
);
insert into predictions values ('{name_of("a")}', 'toy', 'a', 1704801600000000,
    1704801600000000, '{{}}', 1704801600000000, x'0000c03f', '["amount"]', 3, 0.25, 0, 0);
"""


def test_a_log_of_the_first_release_is_read_and_goes_on(path: Path) -> None:
    path.parent.mkdir()
    old = sqlite3.connect(path)
    old.executescript(OLD)
    old.close()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: EventLog(path).close(), range(8)))
    log = EventLog(path)
    before = log.answer_to("toy", "a")
    assert before is not None
    assert (before.role, before.propensity, before.score) == ("champion", 1.0, 0.25)
    assert before.features.tolist() == [1.5]
    log.append([prediction("b", role="challenger", propensity=0.2)])
    after = log.answer_to("toy", "b")
    assert after is not None
    assert (after.role, after.propensity) == ("challenger", 0.2)


def test_who_does_not_want_to_wait_is_told_at_once_that_another_writes(place: Place) -> None:
    log, other = EventLog(place), EventLog(place)
    other.connection.begin()
    log.wait(False)
    with pytest.raises(LogBusy, match="another process is writing"):
        log.append([prediction("a")])
    other.connection.execute("rollback")
    log.append([prediction("a")])
    log.wait(True)
    log.append([prediction("b")])
    assert log.count("toy") == (2, 0)


# --- a log that cannot be written ---------------------------------------------------------


def test_a_log_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "garbage.sqlite").write_bytes(b"this is no database" * 100)
    (tmp_path / "folder.sqlite").mkdir()
    for bad in ("file/log.sqlite", "garbage.sqlite", "folder.sqlite"):
        with pytest.raises(LogUnavailable, match=f"cannot open the event log .*{Path(bad).name}"):
            EventLog(tmp_path / bad)


def test_a_full_disk_is_reported_and_leaves_the_log_usable(log_file: EventLog) -> None:
    log_file.append([prediction("a")])
    pages = log_file._db.execute("pragma page_count").fetchone()[0]
    log_file._db.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(LogUnavailable, match=r"cannot write the event log .*full"):
        log_file.append([prediction("b", request="x" * 100_000)])
    log_file._db.execute("pragma max_page_count = 1000000")
    log_file.append([prediction("c")])
    assert log_file.count("toy") == (2, 0)


def test_a_writer_that_holds_the_log_too_long_is_reported(path: Path, log_file: EventLog) -> None:
    impatient = EventLog(path, patience_s=0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(LogUnavailable, match="locked"):
        impatient.append([prediction("a")])
    with pytest.raises(LogUnavailable, match="locked"):
        impatient.check()
    other.execute("rollback")
    impatient.check()
    impatient.append([prediction("a")])
    other.close()


def test_a_log_that_was_deleted_or_replaced_is_not_written_into_the_void(
    path: Path, log_file: EventLog
) -> None:
    log_file.append([prediction("a")])
    for leftover in path.parent.iterdir():
        leftover.unlink()
    with pytest.raises(LogUnavailable, match="cannot write"):
        log_file.append([prediction("b")])
    EventLog(path).append([prediction("c")])
    with pytest.raises(LogUnavailable, match="was replaced"):
        log_file.append([prediction("d")])
    with pytest.raises(LogUnavailable, match="was replaced"):
        log_file.check()


def test_a_log_that_cannot_be_read_says_so(log: EventLog) -> None:
    log.append([prediction("a")])
    log._db.execute("alter table predictions rename to elsewhere")
    with pytest.raises(LogUnavailable, match="cannot read the event log"):
        log.answer_to("toy", "a")


# --- many writers -------------------------------------------------------------------------


def test_threads_that_open_a_new_log_at_once_and_race_for_events_agree(place: Place) -> None:
    """The law: whoever comes first, all get one answer per event, and none is lost."""

    def write(writer: int) -> list[int]:
        log = EventLog(place)
        answers = []
        for n in range(40):
            [stored] = log.append([prediction(f"e{n}", model_version=writer)])
            answers.append(stored.model_version)
        log.close()
        return answers

    with ThreadPoolExecutor(8) as pool:
        first, *others = pool.map(write, range(8))
    assert all(answers == first for answers in others)
    assert EventLog(place).count("toy") == (40, 0)


WRITER = """
import sys
from datetime import UTC, datetime
import numpy as np
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.ingest.log.served import prediction_id
from tests.places import place_of

log, name = EventLog(place_of(sys.argv[1])), sys.argv[2]
now = datetime(2024, 1, 9, tzinfo=UTC)
n = 0
while True:
    batch = [
        Prediction(prediction_id=prediction_id("toy", f"{name}-{n}-{k}"), system="toy",
                   event_id=f"{name}-{n}-{k}",
                   event_timestamp=now, accepted_at=now, request="{}", features_as_of=now,
                   features=np.ones(3, np.float32), feature_names=("a", "b", "c"),
                   model_version=1, score=0.5, decision=True)
        for k in range(1 + n % 3)
    ]
    log.append(batch)
    sys.stdout.write("".join(p.prediction_id + "\\n" for p in batch))
    sys.stdout.flush()
    n += 1
"""


SPEAKER = """
import sys
from datetime import UTC, datetime, timedelta
from ml_assets.core.errors import TooOften
from ml_assets.core.feedback import FeedbackLimit
from ml_assets.ingest.log.answers_digest import digest_of
from ml_assets.ingest.log.event_log import EventLog, Feedback
from ml_assets.ingest.log.served import prediction_id
from tests.places import place_of

log = EventLog(place_of(sys.argv[1]))
sys.stdin.readline()  # both start at once
limit = FeedbackLimit(words=30, window=timedelta(hours=1))
new = refused = 0
for n in range(50):
    try:
        new += log.feedback.add(Feedback(
            prediction_id=prediction_id("toy", f"e{n}"), system="toy", label=True, source="buyer",
            received_at=datetime(2024, 1, 9, 12, tzinfo=UTC)), limit=limit)
    except TooOften:
        refused += 1
print(new, refused)
"""


def test_processes_that_race_with_the_same_words_store_each_once_and_keep_the_limit(
    place: Place, log: EventLog
) -> None:
    """Two say the same fifty things at once: of thirty that fit each is new to one of them,
    and the other twenty are refused to both."""
    log.append([prediction(f"e{n}") for n in range(50)])
    racers = [
        subprocess.Popen([sys.executable, "-c", SPEAKER, told(place)], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(2)
    ]
    answers = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        said_at_last, _ = racer.communicate()
        answers.append([int(number) for number in said_at_last.split()])
    assert sum(new for new, _ in answers) == 30
    assert [refused for _, refused in answers] == [20, 20]
    assert log.count("toy") == (50, 30)


def test_kill_9_at_any_moment_loses_no_acknowledged_prediction(place: Place) -> None:
    """Two processes write at once and are killed mid-work; then two more on the same file."""
    acknowledged: list[str] = []
    for round_ in range(2):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, told(place), f"w{round_}{n}"],
                             stdout=subprocess.PIPE, text=True, cwd=ROOT)
            for n in range(2)
        ]
        for writer, lines in zip(writers, (150, 333), strict=True):
            assert writer.stdout is not None
            acknowledged += [writer.stdout.readline().strip() for _ in range(lines)]
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
        for writer in writers:
            rest, _ = writer.communicate()
            # A last line that the kill cut off was not acknowledged.
            acknowledged += rest[: rest.rfind("\n") + 1].split()
    log = EventLog(place)
    stored = {p.prediction_id for p in log.predictions("toy", NOON - timedelta(days=1), NOON)}
    assert len(acknowledged) > 900
    assert stored >= set(acknowledged)
    if isinstance(place, Path):
        assert log._db.execute("pragma integrity_check").fetchone() == ("ok",)
    log.close()


def test_a_digest_of_all_answers_tells_any_other_bit_and_not_their_order() -> None:
    first, second = prediction("a"), prediction("b")
    whole = digest_of([first, second])
    assert digest_of([second, first]) == whole
    later = replace(second, accepted_at=second.accepted_at + timedelta(seconds=1))
    assert digest_of([first, later]) == whole
    changed = [replace(second, score=np.nextafter(second.score, 1.0)),
               replace(second, features=np.nextafter(second.features, np.float32(1))),
               replace(second, model_version=second.model_version + 1)]
    assert len({whole, digest_of([first]), *(digest_of([first, each]) for each in changed)}) == 5
