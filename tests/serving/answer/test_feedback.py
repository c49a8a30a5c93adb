"""Feedback over a real socket: what it comes to, who may say how much, whatever restarts."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from ml_assets.core.feedback import Crowd, FeedbackLimit, FeedbackPolicy, TrustClass
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog, Feedback, Prediction
from ml_assets.ingest.log.feedback_log import FeedbackLog
from ml_assets.ingest.log.storage.patience import Patience
from ml_assets.ingest.log.told import ToldLog
from ml_assets.serving.answer import feedback_cache
from ml_assets.serving.answer.feedback import Said
from ml_assets.serving.answer.intake.admission import EventRequest
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.composition import served_system
from tests.serving.kit import NOON, Toy, asked, event, problem, serving
from tests.serving.test_server import server
from tests.toy import TOY

LONG_AGO = NOON - timedelta(days=100)
POLICY = FeedbackPolicy(
    trusted=(TrustClass(name="customer", sources=("buyer",)),),
    crowd=Crowd(quorum=3),
    limit=FeedbackLimit(words=4, window=timedelta(hours=1)),
)


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings, system=replace(TOY, feedback=POLICY))
    toy.deploy(1)
    return toy


@pytest.fixture
def api(toy: Toy) -> Iterator[httpx.Client]:
    with serving(toy) as client:
        yield client


def predicted(api: httpx.Client, event_id: str = "e1") -> str:
    prediction_id: str = api.post("/v1/toy/predict", json=asked(event_id)).json()["prediction_id"]
    return prediction_id


def say(api: httpx.Client, about: str, label: bool, source: str) -> httpx.Response:
    return api.post("/v1/toy/feedback",
                    json={"prediction_id": about, "label": label, "source": source})


def told(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(("fault", "status"), [
    (sqlite3.OperationalError("database or disk is full"), 503),
    (ZeroDivisionError("a bug"), 500),
])
def test_a_word_that_was_not_stored_is_not_remembered(
    fault: Exception, status: int, toy: Toy, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It and the label that it settles are stored together: if that fails, neither was said."""
    about, add = predicted(api), ToldLog.add

    def full(*_: object) -> None:
        raise fault

    monkeypatch.setattr(ToldLog, "add", full)
    assert say(api, about, True, "buyer").status_code == status
    monkeypatch.setattr(ToldLog, "add", add)
    assert told(say(api, about, False, "buyer"))["label"] is False
    assert [said.label for said in EventLog(toy.settings.event_log).feedback.on(about)] == [False]


def make_old(toy: Toy, api: httpx.Client, sources: list[str]) -> None:
    """Let these sources have spoken once, long ago, of some other prediction."""
    about, log = predicted(api, "long ago"), EventLog(toy.settings.event_log)
    for source in sources:
        log.feedback.add(Feedback(prediction_id=about, system="toy", label=True, source=source,
                                  received_at=LONG_AGO))
    log.close()


# --- what it comes to ---------------------------------------------------------------------


def test_a_trusted_word_is_the_label_at_once_and_is_told_so(api: httpx.Client) -> None:
    """And a change of mind is, too."""
    about = predicted(api)
    answer = told(say(api, about, False, "buyer"))
    assert answer == {"accepted": True, "new": True, "counted": True, "label": False,
                      "basis": "feedback", "says": "a trusted source (customer) says so"}
    assert told(say(api, about, True, "buyer"))["label"] is True


def test_one_stranger_settles_nothing_and_is_told_how_far_the_crowd_has_come(
    api: httpx.Client,
) -> None:
    answer = told(say(api, predicted(api), True, "stranger"))
    assert (answer["new"], answer["counted"]) == (True, True)
    assert (answer["label"], answer["basis"]) == (None, None)
    assert "weigh 0.25 for True, and a lead of 3 settles it" in answer["says"]


def test_after_its_maturity_the_label_is_what_silence_says_until_someone_counts(
    toy: Toy, api: httpx.Client
) -> None:
    about = predicted(api)
    toy.clock.set(NOON + TOY.truth.maturity + timedelta(seconds=1))
    answer = told(say(api, about, True, "stranger"))
    assert (answer["label"], answer["basis"]) == (False, "silence")
    answer = told(say(api, about, True, "buyer"))
    assert (answer["label"], answer["basis"]) == (True, "feedback")
    outcomes = told(api.get(f"/v1/toy/predictions/{about}"))["outcomes"]
    assert [(known["label"], known["basis"]) for known in outcomes] == [
        (False, "silence"), (True, "feedback"),
    ]


def test_hundreds_of_strangers_flip_neither_silence_nor_a_trusted_word(
    toy: Toy, api: httpx.Client
) -> None:
    """Names cost nothing: new ones together weigh less than the quorum."""
    about, doubted = predicted(api, "e1"), predicted(api, "e2")
    say(api, about, False, "buyer")
    toy.clock.set(NOON + TOY.truth.maturity)
    for n in range(150):
        told(say(api, about, True, f"bot{n}"))
        last = told(say(api, doubted, True, f"bot{n}"))
    assert (last["label"], last["basis"]) == (False, "silence")
    heard = told(api.get(f"/v1/toy/predictions/{about}"))
    assert heard["outcomes"] == [
        {"known_at": "2024-01-09T12:00:00Z", "label": False, "basis": "feedback"}
    ]
    assert len(heard["feedback"]) == 151
    counted = [word["source"] for word in heard["feedback"] if word["counted"]]
    assert counted == ["buyer"]


def test_enough_old_sources_settle_a_label_and_one_trusted_word_outranks_them(
    toy: Toy, api: httpx.Client
) -> None:
    neighbours = [f"neighbour{n}" for n in range(5)]
    make_old(toy, api, neighbours)
    about = predicted(api)
    labels = [told(say(api, about, True, source))["label"] for source in neighbours]
    assert labels == [None, None, True, True, True]
    answer = told(say(api, about, False, "buyer"))
    assert (answer["label"], answer["counted"]) == (False, True)
    answer = told(say(api, about, True, "stranger"))
    assert (answer["new"], answer["counted"], answer["label"]) == (True, False, False)
    assert "anonymous words change nothing beside it" in answer["says"]


def test_a_repetition_changes_nothing_also_after_a_restart_and_between_servers(toy: Toy) -> None:
    """A client that got no answer asks again, wherever it is sent."""
    with serving(toy) as one, serving(toy) as other:
        about = predicted(one)
        first = told(say(one, about, True, "buyer"))
        assert told(say(other, about, True, "buyer")) == first | {"new": False}
    with serving(toy) as later:
        assert told(say(later, about, True, "buyer")) == first | {"new": False}
        assert len(told(later.get(f"/v1/toy/predictions/{about}"))["feedback"]) == 1


def test_racing_repetitions_are_new_to_one_of_them(toy: Toy) -> None:
    """Two servers, one log, eight clients at once."""
    with serving(toy) as one, serving(toy) as other, ThreadPoolExecutor(8) as pool:
        about = predicted(one)
        answers = list(pool.map(
            lambda n: told(say((one, other)[n % 2], about, True, "buyer")), range(40)
        ))
    assert sum(answer["new"] for answer in answers) == 1
    assert {answer["label"] for answer in answers} == {True}


def test_feedback_that_was_acknowledged_survives_kill_9(settings: Settings) -> None:
    """Acknowledged means durable, for words too."""
    with server(settings) as first, httpx.Client(base_url=first.url, timeout=10) as api:
        about = predicted(api)
        acknowledged = [told(say(api, about, bool(n % 2), "buyer")) for n in range(20)]
        first.stop(signal.SIGKILL)
    assert all(answer["new"] for answer in acknowledged)
    with server(settings) as again, httpx.Client(base_url=again.url, timeout=10) as api:
        heard = told(api.get(f"/v1/toy/predictions/{about}"))
        assert [word["label"] for word in heard["feedback"]] == [bool(n % 2) for n in range(20)]
        assert told(say(api, about, True, "buyer"))["new"] is False


# --- who may say how much -----------------------------------------------------------------


def test_beyond_its_limit_a_source_is_told_when_to_go_on_and_nothing_is_stored(
    toy: Toy, api: httpx.Client
) -> None:
    about = [predicted(api, f"e{n}") for n in range(6)]
    for n in range(4):
        toy.clock.set(NOON + n * timedelta(minutes=10))
        told(say(api, about[n], True, "buyer"))
    answer = say(api, about[4], True, "buyer")
    found = problem(answer, 429, "too_often")
    assert "'buyer' has said 4 new things" in found["message"]
    assert answer.headers["retry-after"] == str(30 * 60)
    assert EventLog(toy.settings.event_log).count("toy") == (6, 4)
    assert told(say(api, about[3], True, "buyer"))["new"] is False
    assert told(say(api, about[4], True, "stranger"))["new"] is True
    toy.clock.set(NOON + timedelta(minutes=60))
    assert told(say(api, about[4], True, "buyer"))["new"] is True


def test_the_limit_holds_over_servers_and_restarts(toy: Toy) -> None:
    """It is counted in the log, not in a process."""
    with serving(toy) as one, serving(toy) as other, ThreadPoolExecutor(8) as pool:
        about = [predicted(one, f"e{n}") for n in range(16)]
        answers = list(pool.map(
            lambda n: say((one, other)[n % 2], about[n], True, "buyer").status_code, range(16)
        ))
    assert sorted(answers) == [200] * 4 + [429] * 12
    with serving(toy) as later:
        problem(say(later, predicted(later, "more"), True, "buyer"), 429, "too_often")
    assert EventLog(toy.settings.event_log).count("toy")[1] == 4


# --- what is refused ----------------------------------------------------------------------


def test_feedback_is_refused_for_what_was_never_predicted(toy: Toy, api: httpx.Client) -> None:
    problem(say(api, "none", True, "buyer"), 404, "not_found")
    assert EventLog(toy.settings.event_log).count("toy") == (0, 0)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"prediction_id": "p", "label": 1, "source": "s"}', "invalid_request"),
        (b'{"prediction_id": "p", "label": null, "source": "s"}', "invalid_request"),
        (b'{"prediction_id": "p", "label": true, "source": "' + b"s" * 101 + b'"}',
         "invalid_request"),
        (b'{"prediction_id": "p", "label": true, "source": "\\ud800 alone"}', "malformed_json"),
        (b'{"prediction_id": "p", "label": true', "malformed_json"),
        (b"", "malformed_json"),
    ],
)
def test_malformed_feedback_is_a_422(api: httpx.Client, body: bytes, code: str) -> None:
    problem(api.post("/v1/toy/feedback", content=body), 422, code)


@pytest.mark.parametrize(
    "source", ["'; drop table feedback; --", "日本", "e\u0301", " ", "x ", "x" * 100]
)
def test_a_source_may_have_any_name_of_one_line_and_is_kept_as_it_is(
    toy: Toy, api: httpx.Client, source: str
) -> None:
    about = predicted(api)
    assert told(say(api, about, True, source))["new"] is True
    assert told(say(api, about, True, source))["new"] is False
    [word] = EventLog(toy.settings.event_log).feedback.on(about)
    assert word.source == source


# --- what a word costs ------------------------------------------------------------------------


@pytest.mark.parametrize("sources", [["buyer"], ["a", "b", "buyer"], [f"s{n}" for n in range(500)]])
def test_a_word_costs_the_same_however_many_there_were(
    settings: Settings, sources: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read from the log and heard once, alone: nothing is done again for those before."""
    read: list[int] = []
    words_after = FeedbackLog.after

    def counted(
        self: FeedbackLog, prediction_id: str, feedback_id: int
    ) -> list[tuple[int, Feedback]]:
        found = words_after(self, prediction_id, feedback_id)
        read.append(len(found))
        return found

    monkeypatch.setattr(FeedbackLog, "after", counted)
    limit = FeedbackLimit(words=10**6, window=timedelta(hours=1))
    toy = Toy(settings=settings, system=replace(TOY, feedback=replace(POLICY, limit=limit)))
    toy.deploy(1)
    with serving(toy) as api:
        about = predicted(api)
        for n in range(500):
            told(say(api, about, n // len(sources) % 2 == 0, sources[n % len(sources)]))
        steps = [""] * 2
        log = EventLog(settings.event_log)
        for place, query in enumerate((
            "select feedback_id from feedback where prediction_id = ? and feedback_id > 9",
            "select min(received_at) from feedback where system = ? and source = 'a'",
        )):
            [(*_, steps[place])] = log.connection.execute(f"explain query plan {query}", ("p",))
        log.close()
    # Once in the transaction that stores it, once for the answer: nothing is left to read then.
    assert read == [1, 0] * 500
    assert "prediction_id=? AND rowid>?" in steps[0]
    assert "system=? AND source=?" in steps[1]


@settings_of_hypothesis(max_examples=15, deadline=None)
@given(st.lists(st.tuples(
    st.integers(0, 2), st.booleans(), st.sampled_from(["buyer", "a", "b", "c"]),
), max_size=12))
def test_each_answer_is_what_all_words_come_to_whichever_server_heard_them(
    said: list[tuple[int, bool, str]],
) -> None:
    """Two servers take turns, beside one that has forgotten everything each time."""
    with TemporaryDirectory() as folder:
        installation = Settings(var=Path(folder))
        toy = Toy(settings=installation, system=replace(TOY, feedback=replace(
            POLICY, limit=FeedbackLimit(words=100, window=timedelta(hours=1)))))
        toy.deploy(1)

        def opened() -> ServedSystem:
            made = served_system(
                toy.system, installation, toy.backends(), SparseLog(), Patience(2))
            made.open()
            return made

        one, other = opened(), opened()
        [prediction] = one.predictor.predict([EventRequest(event=json.dumps(event()).encode())])
        assert isinstance(prediction, Prediction)
        about = prediction.prediction_id
        for who, label, source in said:
            given = (one, other, one)[who].feedback.add(
                Said(prediction_id=about, label=label, source=source))
            fresh = opened()
            again = fresh.feedback.add(Said(prediction_id=about, label=label, source=source))
            assert again == replace(given, new=False)
            _, heard = fresh.find(about)
            assert heard.resolution.says == given.says
            assert (heard.known[-1] if heard.known else None) == given.known
            fresh.close()
        one.close()
        other.close()


def test_what_is_heard_of_longest_ago_is_forgotten_and_read_again(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback_cache, "MOST_WORDS", 3)
    with serving(toy) as api:
        abouts = [predicted(api, f"e{n}") for n in range(4)]
        for n in range(3):
            for about in abouts:
                answer = told(say(api, about, True, f"old {n}"))
    assert "0.75 for True" in answer["says"]
