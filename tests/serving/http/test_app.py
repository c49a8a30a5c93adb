"""The API over a real socket with a real log: every answer is logged, every error explained."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import httpx
import numpy as np
import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.source import Event, Request
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.registry.deployments import Deployments
from ml_assets.serving import composition
from ml_assets.serving.batching import loop_budget as pace
from tests.places import file_of
from tests.serving.kit import LATER, LOADED, NOON, Toy, asked, event, problem, serving, wait_until
from tests.toy import TOY, ToySource, with_stream


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture
def toy_of_each(settings_of_each: Settings) -> Toy:
    """In either profile."""
    toy = Toy(settings=settings_of_each)
    toy.deploy(1)
    return toy


@pytest.fixture
def api_of_each(toy_of_each: Toy) -> Iterator[httpx.Client]:
    with serving(toy_of_each) as client:
        yield client


@pytest.fixture
def api(toy: Toy) -> Iterator[httpx.Client]:
    with serving(toy) as client:
        yield client


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Toy, httpx.Client]]:
    """One server for all tests that only send what is refused."""
    toy = Toy(settings=Settings(var=tmp_path_factory.mktemp("standing")))
    toy.deploy(1)
    with serving(toy) as client:
        yield toy, client


def log_of(toy: Toy) -> EventLog:
    return EventLog(toy.settings.event_log)


# --- predictions --------------------------------------------------------------------------


def test_a_prediction_is_answered_and_everything_about_it_is_in_the_log(
    toy: Toy, api: httpx.Client
) -> None:
    answer = api.post("/v1/toy/predict", json=asked("e1", NOON - timedelta(minutes=5)))
    assert answer.status_code == 200
    given = answer.json()
    expected = 1 / (1 + np.exp(-((12.5 + 3) / 10 + 5 / 100)))
    assert given == {
        "prediction_id": given["prediction_id"], "event_id": "e1", "label_name": "returned",
        "decision": True, "score": pytest.approx(expected), "model_version": 1,
        "features_as_of": "2024-01-09T00:00:00Z", "degraded": False,
    }
    logged = log_of(toy).prediction(given["prediction_id"])
    assert logged is not None
    assert logged.features.tolist() == [12.5, 3.0]
    assert logged.feature_names == ("amount", "returns_7d")
    assert (logged.event_timestamp, logged.accepted_at) == (NOON - timedelta(minutes=5), NOON)
    assert logged.features_as_of == LOADED
    assert logged.score == given["score"]
    assert json.loads(logged.request) == event()


def test_the_request_is_logged_as_it_came_to_the_byte(toy: Toy, api: httpx.Client) -> None:
    posted = b'{"amount" : 1.50, "note": "\\u00e9\xc3\xa9", "shop":"x"}'
    answer = api.post("/v1/toy/predict", content=b'{"event": ' + posted + b"}")
    logged = log_of(toy).prediction(answer.json()["prediction_id"])
    assert logged is not None
    assert logged.request.encode() == posted


def test_without_id_and_instant_an_event_gets_a_new_id_and_happens_now(
    toy: Toy, api: httpx.Client
) -> None:
    first, second = (api.post("/v1/toy/predict", json=asked()).json() for _ in range(2))
    assert first["event_id"] != second["event_id"]
    toy.clock.set(LATER)
    third = api.post("/v1/toy/predict", json=asked()).json()
    log = log_of(toy)
    at = [log.prediction(given["prediction_id"]) for given in (first, second, third)]
    assert [p.event_timestamp for p in at if p] == [NOON, NOON, LATER]


def test_an_unknown_entity_has_missing_features_and_is_not_degraded(
    toy: Toy, api: httpx.Client
) -> None:
    given = api.post("/v1/toy/predict", json=asked(shop="new in town")).json()
    logged = log_of(toy).prediction(given["prediction_id"])
    assert logged is not None
    assert np.isnan(logged.features[1])
    assert not given["degraded"]


def test_nothing_is_at_work_at_once_on_the_event_loop_and_on_the_worker(
    toy: Toy, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "QUICK_SECONDS", 60.0)  # whatever this machine takes

    def ask(n: int) -> bool:
        if n % 3:
            return bool(api.post("/v1/toy/predict", json=asked(f"e{n}")).json()["degraded"])
        batch = {"events": [asked(f"e{n}-{k}") for k in range(3)]}
        answers = api.post("/v1/toy/predict/batch", json=batch).json()["predictions"]
        return any(answer["degraded"] for answer in answers)

    with ThreadPoolExecutor(3) as pool:
        assert not any(pool.map(ask, range(300)))
    assert not any(map(ask, range(300, 306)))
    assert "predict" in toy.features.threads
    assert len(set(toy.features.threads)) == 2


# --- retries ------------------------------------------------------------------------------


def test_a_retry_gets_the_same_answer_also_from_a_later_model_and_after_a_restart(
    toy_of_each: Toy
) -> None:
    toy = toy_of_each
    with serving(toy) as api:
        first = api.post("/v1/toy/predict", json=asked("e1"))
        toy.clock.set(LATER)
        assert api.post("/v1/toy/predict", json=asked("e1")).content == first.content
    toy.deploy(2)
    toy.features.by_shop["corner"] = 99.0
    with serving(toy) as api:
        assert api.get("/v1/toy/version").json()["loaded"] == 2
        again = api.post("/v1/toy/predict", json=asked("e1"))
        assert again.content == first.content
        reordered = {"event_id": "e1", "event": dict(reversed(event().items()))}
        assert api.post("/v1/toy/predict", json=reordered).content == first.content
    assert log_of(toy).count("toy") == (1, 0)


def test_racing_requests_for_one_event_get_one_answer(toy_of_each: Toy) -> None:
    """Also when they meet in two servers that share a log."""
    toy = toy_of_each
    with serving(toy) as one, serving(toy) as other, ThreadPoolExecutor(8) as pool:
        def ask(n: int) -> bytes:
            return (one, other)[n % 2].post("/v1/toy/predict", json=asked(f"e{n // 8}")).content

        answers = list(pool.map(ask, range(160)))
    for n in range(0, 160, 8):
        assert len(set(answers[n : n + 8])) == 1
    assert log_of(toy).count("toy") == (20, 0)


def test_an_id_that_returns_with_another_event_is_a_conflict(toy: Toy, api: httpx.Client) -> None:
    api.post("/v1/toy/predict", json=asked("e1", NOON))
    found = problem(api.post("/v1/toy/predict", json=asked("e1", NOON, amount=99.0)), 409,
                    "event_changed")
    assert found["field"] == "event"
    assert "e1" in found["message"]
    earlier = NOON - timedelta(days=1)
    found = problem(api.post("/v1/toy/predict", json=asked("e1", earlier)), 409, "event_changed")
    assert found["field"] == "event_timestamp"
    assert log_of(toy).count("toy") == (1, 0)


# --- bad requests -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says", "field"),
    [
        (b"", "truncated, line 1, column 1", None),
        (b'{"event": {"amount": 1,}}', "trailing comma in object (byte 23), line 1", None),
        (b'{"event":\n  {"amount": x}}', "(byte 23), line 2, column 14", None),
        (b"[1]", "Expected `object`, got `array`", None),
        (b"{}", "missing required field `event`", "event"),
        (b'{"event": {"amount": 1}, "event_tmestamp": 1}', "unknown field", "event_tmestamp"),
        (b'{"event": {"amount": 1}, "event_id": ""}', "length >= 1", "event_id"),
        (b'{"event": {"amount": 1}, "event_id": "\\ud800 and more"}',
         "surrogate pair (byte 44), line 1", None),
        (b'{"event": {"amount": 1}, "event_timestamp": "yesterday"}', "RFC3339", "event_timestamp"),
        (b'{"event": {"amount": 1}, "event_timestamp": "2024-01-09T12:00:00"}', "timezone",
         "event_timestamp"),
        (b'{"event": {"amount": 1}, "event_timestamp": "9999-12-31T23:59:59-20:00"}', "9999",
         "event_timestamp"),
        (b'{"event":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested too deeply", None),
        (b'{"event": 3}', "the event is '3'; expected a JSON object", "event"),
        (b'{"event": {"amount": "\xff"}}', "can't decode byte", "event"),
        (b'{"event": {"amount": "ten"}}', "amount is 'ten'; expected a number", "event"),
        (b'{"event": {"amount": -1}}', "amount is -1; expected at least 0", "event"),
        (b'{"event": {"amount": 1, "note": "' + b"x" * 1001 + b'"}}',
         "note has 1,001 characters; expected at most 1,000", "event"),
        (b'{"event": {"amount": ' + b"9" * 5000 + b"}}", "cannot be read as JSON", "event"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong_and_where(
    standing: tuple[Toy, httpx.Client], body: bytes, says: str, field: str | None
) -> None:
    toy, api = standing
    before = api.get("/v1/toy/version").json()["counts"]["rejected"]
    answer = api.post("/v1/toy/predict", content=body)
    assert answer.status_code == 422
    found = problem(answer, 422, answer.json()["error"]["code"])
    assert says in found["message"]
    assert found.get("field") == field
    assert log_of(toy).count("toy") == (0, 0)
    assert api.get("/v1/toy/version").json()["counts"]["rejected"] == before + 1


def test_an_event_from_the_future_is_refused_with_both_instants(
    toy: Toy, api: httpx.Client
) -> None:
    slightly, far = NOON + timedelta(seconds=60), NOON + timedelta(seconds=61)
    assert api.post("/v1/toy/predict", json=asked(at=slightly)).status_code == 200
    found = problem(api.post("/v1/toy/predict", json=asked(at=far)), 422, "event_in_the_future")
    assert found["field"] == "event_timestamp"
    assert far.isoformat() in found["message"]
    assert NOON.isoformat() in found["message"]


def test_a_body_that_is_too_large_is_refused_however_it_is_sent(api: httpx.Client) -> None:
    large = b'{"event": "' + b"x" * (9 * 1024 * 1024) + b'"}'
    for _ in range(3):
        problem(api.post("/v1/toy/predict", content=large), 413, "body_too_large")
        chunked = api.post("/v1/toy/predict", content=iter([large[:5_000_000], large[5_000_000:]]))
        problem(chunked, 413, "body_too_large")
    assert api.post("/v1/toy/predict", json=asked()).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/toy/predict", 405, "method_not_allowed"),
        ("POST", "/v1/tyo/predict", 404, "not_found"),
        ("GET", "/v1/tyo/version", 404, "not_found"),
        ("GET", "/v1/toy/predictions/none", 404, "not_found"),
    ],
)
def test_a_wrong_address_is_told_so_in_json(
    standing: tuple[Toy, httpx.Client], method: str, path: str, status: int, code: str
) -> None:
    problem(standing[1].request(method, path), status, code)


@pytest.mark.parametrize("path", ["/v1/toy/predict", "/v1/t%6Fy/predict", "/v1/toy/predict?x=1"])
def test_an_address_is_the_same_however_it_is_written(api: httpx.Client, path: str) -> None:
    assert api.post(path, json=asked("e")).json()["event_id"] == "e"


@pytest.mark.parametrize("path", ["/v1/toy/predict", "/v1/toy/feedback"])
def test_another_method_is_told_which_there_is_with_or_without_the_router(
    standing: tuple[Toy, httpx.Client], path: str
) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
        answer = standing[1].request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert answer.headers["content-type"] == "application/json"


def test_a_path_with_a_slash_too_many_leads_where_the_router_says(
    standing: tuple[Toy, httpx.Client],
) -> None:
    answer = standing[1].post("/v1/toy/predict/", json=asked())
    assert answer.status_code == 307
    assert answer.headers["location"].endswith("/v1/toy/predict")
    problem(standing[1].post("//v1/toy/predict", json=asked()), 404, "not_found")


def test_a_system_that_does_not_exist_is_told_the_closest(api: httpx.Client) -> None:
    found = problem(api.post("/v1/tyo/predict", json=asked()), 404, "not_found")
    assert "Closest: toy" in found["message"]


# --- batches ------------------------------------------------------------------------------


def test_a_batch_answers_good_events_and_refuses_bad_ones_in_their_places(
    toy: Toy, api: httpx.Client
) -> None:
    body = {"events": [
        asked("a"), asked("b", amount="ten"), {"evnt": {}}, asked("c"), asked("a"),
        asked("a", amount=1.0), asked(at=NOON + timedelta(days=1)), 7,
    ]}
    entries = api.post("/v1/toy/predict/batch", json=body).json()["predictions"]
    assert [entry.get("event_id", entry.get("error", {}).get("code")) for entry in entries] == [
        "a", "unusable_event", "invalid_request", "c", "a", "event_changed",
        "event_in_the_future", "invalid_request",
    ]
    assert entries[0] == entries[4]
    assert log_of(toy).count("toy") == (2, 0)


def test_an_event_scores_the_same_in_a_batch_as_alone(toy: Toy, api: httpx.Client) -> None:
    amounts = [0.1 * n for n in range(50)]
    body = {"events": [asked(f"b{n}", amount=amount) for n, amount in enumerate(amounts)]}
    together = api.post("/v1/toy/predict/batch", json=body).json()["predictions"]
    alone = [api.post("/v1/toy/predict", json=asked(f"s{n}", amount=amount)).json()
             for n, amount in enumerate(amounts)]
    assert [one["score"] for one in together] == [one["score"] for one in alone]


def test_a_batch_has_limits_and_an_empty_one_is_answered(api: httpx.Client) -> None:
    assert api.post("/v1/toy/predict/batch", json={"events": []}).json() == {"predictions": []}
    full = api.post("/v1/toy/predict/batch", json={"events": [asked()] * 256})
    assert len(full.json()["predictions"]) == 256
    found = problem(api.post("/v1/toy/predict/batch", json={"events": [asked()] * 257}), 413,
                    "batch_too_large")
    assert "257" in found["message"]


# --- feedback -----------------------------------------------------------------------------


def test_feedback_is_logged_once_and_shows_on_the_prediction(
    toy_of_each: Toy, api_of_each: httpx.Client
) -> None:
    toy, api = toy_of_each, api_of_each
    given = api.post("/v1/toy/predict", json=asked("e1")).json()
    said = {"prediction_id": given["prediction_id"], "label": True, "source": "buyer"}
    toy.clock.set(LATER)
    answers = [api.post("/v1/toy/feedback", json=said).json() for _ in range(2)]
    settled = {"accepted": True, "counted": True, "label": True, "basis": "feedback",
               "says": "a trusted source (customer) says so"}
    assert answers == [settled | {"new": True}, settled | {"new": False}]
    found = api.get(f"/v1/toy/predictions/{given['prediction_id']}").json()
    assert found["feedback"] == [
        {"label": True, "source": "buyer", "received_at": "2024-01-09T13:00:00Z",
         "trust": "customer", "counted": True}
    ]
    assert found["request"] == event()
    assert found["features"] == {"amount": 12.5, "returns_7d": 3.0}
    assert found["score"] == given["score"]


def test_feedback_is_never_known_before_its_event(toy: Toy, api: httpx.Client) -> None:
    """A client's clock may be a minute ahead; ingestion forbids labels older than events."""
    ahead = NOON + timedelta(seconds=50)
    given = api.post("/v1/toy/predict", json=asked("e1", ahead)).json()
    api.post("/v1/toy/feedback",
             json={"prediction_id": given["prediction_id"], "label": True, "source": "buyer"})
    [said] = log_of(toy).feedback.on(given["prediction_id"])
    assert said.received_at == ahead


def test_feedback_for_an_unknown_prediction_is_refused_and_nothing_is_kept(
    toy: Toy, api: httpx.Client
) -> None:
    body = {"prediction_id": "none", "label": True, "source": "buyer"}
    found = problem(api.post("/v1/toy/feedback", json=body), 404, "not_found")
    assert "'none'" in found["message"]
    assert log_of(toy).count("toy") == (0, 0)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"label": True, "source": "buyer"}, "prediction_id"),
        ({"prediction_id": "p", "label": "yes", "source": "buyer"}, "label"),
        ({"prediction_id": "p", "label": True, "source": ""}, "source"),
        ({"prediction_id": "p", "label": True, "source": "b", "by": "x"}, "by"),
    ],
)
def test_malformed_feedback_names_the_field(
    standing: tuple[Toy, httpx.Client], body: dict[str, object], field: str
) -> None:
    found = problem(standing[1].post("/v1/toy/feedback", json=body), 422, "invalid_request")
    assert found["field"] == field


# --- when something is broken -------------------------------------------------------------


def test_without_its_log_nothing_is_answered_until_the_log_is_back(
    toy: Toy, api: httpx.Client
) -> None:
    """A new empty log in its place would forget what was acknowledged."""
    path, aside = file_of(toy.settings.event_log), toy.settings.var / "aside"
    first = api.post("/v1/toy/predict", json=asked("e1"))
    aside.mkdir()
    for each in list(path.parent.glob("event_log.sqlite*")):
        each.rename(aside / each.name)
    problem(api.post("/v1/toy/predict", json=asked("e2")), 503, "log_unavailable")
    assert not path.exists()
    path.mkdir()
    problem(api.post("/v1/toy/predict", json=asked("e2")), 503, "log_unavailable")
    found = problem(api.post("/v1/toy/predict", json=asked("e2")), 503, "log_unavailable")
    assert "event_log.sqlite" in found["message"]
    unready = api.get("/readyz")
    assert unready.status_code == 503
    assert "event_log.sqlite" in unready.json()["problems"][0]
    assert api.get("/healthz").status_code == 200
    path.rmdir()
    for each in list(aside.iterdir()):
        each.rename(path.parent / each.name)
    assert api.post("/v1/toy/predict", json=asked("e2")).status_code == 200
    assert api.get("/readyz").status_code == 200
    assert first.status_code == 200
    assert log_of(toy).count("toy") == (2, 0)


@pytest.mark.parametrize("name", ["event_log.sqlite", "deployments.sqlite"])
@pytest.mark.parametrize("happens", ["deleted", "replaced"])
def test_a_running_api_says_that_its_file_was_deleted_or_replaced(
    toy: Toy, name: str, happens: str
) -> None:
    """It used to make an empty one and call itself ready."""
    path = toy.settings.var / name
    with serving(toy) as client:
        assert client.get("/readyz").status_code == 200
        for each in toy.settings.var.glob(f"{name}*"):
            each.unlink()
        if happens == "replaced":
            {"deployments.sqlite": Deployments, "event_log.sqlite": EventLog}[name](path)
        wait_until(lambda: client.get("/readyz").status_code == 503)
        said = client.get("/readyz").json()["problems"]
        assert len(said) <= 2 and all(name in each for each in said), said
        assert path.exists() == (happens == "replaced")
        for _ in range(3):
            assert client.get("/readyz").status_code == 503


@pytest.mark.parametrize("damage", [b"", b"{", None])
def test_a_running_api_says_that_the_clock_is_damaged(toy: Toy, damage: bytes | None) -> None:
    """It used to answer 500."""
    path = toy.settings.clock_file(toy.system.name)
    with serving(toy) as client:
        assert client.get("/readyz").status_code == 200
        sound = path.read_bytes()
        path.unlink()
        path.write_bytes(damage) if damage is not None else path.mkdir()
        unready = client.get("/readyz")
        assert unready.status_code == 503
        assert any("clock.json" in each for each in unready.json()["problems"])
        found = problem(client.post("/v1/toy/predict", json=asked("e1")), 503, "log_unavailable")
        assert "clock.json" in found["message"]
        path.rmdir() if damage is None else path.unlink()
        path.write_bytes(sound)
        assert client.post("/v1/toy/predict", json=asked("e1")).status_code == 200
        assert client.get("/readyz").status_code == 200


def test_a_log_that_another_writer_holds_is_a_503_and_not_an_unlogged_answer(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composition, "LOG_PATIENCE_S", 0.1)
    with serving(toy) as api:
        _refused_while_locked(toy, api)


def _refused_while_locked(toy: Toy, api: httpx.Client) -> None:
    api.post("/v1/toy/predict", json=asked("e0"))
    other = sqlite3.connect(file_of(toy.settings.event_log), isolation_level=None)
    other.execute("begin immediate")
    answer = api.post("/v1/toy/predict", json=asked("e1"))
    problem(answer, 503, "log_unavailable")
    assert answer.headers["retry-after"] == "1"
    other.execute("rollback")
    other.close()
    assert api.post("/v1/toy/predict", json=asked("e1")).status_code == 200
    assert log_of(toy).count("toy") == (2, 0)


def test_without_the_feature_store_answers_are_degraded_and_say_so(
    toy: Toy, api: httpx.Client
) -> None:
    toy.features.failure = sqlite3.OperationalError("disk I/O error")
    given = api.post("/v1/toy/predict", json=asked("e1", NOON)).json()
    assert given["degraded"]
    logged = log_of(toy).prediction(given["prediction_id"])
    assert logged is not None
    assert logged.degraded
    assert logged.features[0] == 12.5
    assert np.isnan(logged.features[1])
    unready = api.get("/readyz")
    assert unready.status_code == 503
    assert "disk I/O error" in unready.json()["problems"][0]
    toy.features.failure = None
    assert not api.post("/v1/toy/predict", json=asked("e2")).json()["degraded"]
    assert api.get("/readyz").status_code == 200


def test_a_feature_store_that_cannot_be_opened_at_the_start_is_opened_later(toy: Toy) -> None:
    toy.features.failure = OSError("no such registry")
    with serving(toy) as api:
        assert api.post("/v1/toy/predict", json=asked("e1")).json()["degraded"]
        toy.features.failure = None
        assert not api.post("/v1/toy/predict", json=asked("e2")).json()["degraded"]


def test_a_store_with_other_features_than_the_model_reads_is_never_mixed_up(toy: Toy) -> None:
    toy.features.failure = OSError("not yet")
    with serving(toy) as api:
        toy.features.failure = None
        toy.features.names = ("refunds_7d",)
        assert api.post("/v1/toy/predict", json=asked("e1")).json()["degraded"]


def test_without_a_model_the_api_lives_but_is_not_ready(settings: Settings) -> None:
    toy = Toy(settings=settings)
    with serving(toy) as api:
        found = problem(api.post("/v1/toy/predict", json=asked()), 503, "not_ready")
        assert "no model of 'toy' is deployed" in found["message"]
        unready = api.get("/readyz")
        assert unready.status_code == 503
        assert unready.json()["ready"] is False
        assert "no model" in unready.json()["problems"][0]
        assert api.get("/healthz").json() == {"status": "live"}
        toy.deploy(1)
        wait_until(lambda: api.get("/readyz").status_code == 200)
        assert api.post("/v1/toy/predict", json=asked()).status_code == 200


class FaultySource(ToySource):
    def parse(self, request: Request) -> Event:
        raise ZeroDivisionError("a secret of the server")


def test_after_a_restart_a_refused_model_is_why_nothing_is_answered(toy: Toy) -> None:
    toy.deploy(3)
    with serving(toy) as api:
        found = problem(api.post("/v1/toy/predict", json=asked()), 503, "not_ready")
        assert "version 3 of 'toy' is deployed but was refused" in found["message"]
        unready = api.get("/readyz")
        assert unready.status_code == 503
        assert "version 3 has no files" in unready.json()["problems"][0]


def test_a_fault_of_ours_is_a_500_without_a_stack_trace(settings: Settings) -> None:
    toy = Toy(settings=settings, system=with_stream(TOY, source=FaultySource()))
    toy.deploy(1)
    with serving(toy) as api:
        answer = api.post("/v1/toy/predict", json=asked())
    problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert log_of(toy).count("toy") == (0, 0)


# --- models -------------------------------------------------------------------------------


def test_version_says_which_model_answers_since_when_and_why(
    toy: Toy, api: httpx.Client
) -> None:
    found = api.get("/v1/toy/version").json()
    assert found["loaded"] == 1
    assert found["deployment"] == {
        "id": 1, "version": 1, "previous": None, "challengers": [], "shadows": [],
        "action": "promote", "reason": "it is better", "by": "test", "at": "2024-01-09T12:00:00Z",
    }
    assert found["serving"] == [
        {"version": 1, "role": "champion", "share": 1.0, "loaded_at": "2024-01-09T12:00:00Z"}
    ]
    assert found["refused"] == []
    assert datetime.fromisoformat(found["loaded_at"]) == NOON


def test_a_refused_version_is_shown_and_the_old_one_stays(toy: Toy, api: httpx.Client) -> None:
    toy.deploy(3)
    wait_until(lambda: api.get("/v1/toy/version").json()["refused"])
    found = api.get("/v1/toy/version").json()
    assert (found["loaded"], found["deployment"]["version"]) == (1, 3)
    [refused] = found["refused"]
    assert (refused["version"], refused["role"]) == (3, "champion")
    assert "version 3 has no files" in refused["reason"]
    ready = api.get("/readyz")
    assert ready.status_code == 200
    assert "version 3 was refused as champion, 1 stays" in ready.json()["warnings"][0]
    assert api.post("/v1/toy/predict", json=asked()).json()["model_version"] == 1


def await_version(api: httpx.Client, version: int) -> None:
    wait_until(lambda: api.get("/v1/toy/version").json()["loaded"] == version)


def test_a_swap_under_a_stream_of_requests_drops_none(toy: Toy, api: httpx.Client) -> None:
    """The law: each answer is wholly of one version, and new requests meet the new one."""
    with ThreadPoolExecutor(4) as pool:
        stream = [pool.submit(api.post, "/v1/toy/predict", json=asked(f"e{n}")) for n in range(400)]
        for version in (2, 1, 2):
            toy.deploy(version)
            await_version(api, version)
        answers = [each.result() for each in stream]
    assert {answer.status_code for answer in answers} == {200}
    scores = {(answer.json()["model_version"], answer.json()["score"]) for answer in answers}
    assert len(scores) == len({version for version, _ in scores})
    assert api.post("/v1/toy/predict", json=asked()).json()["model_version"] == 2
    assert log_of(toy).count("toy") == (401, 0)


# --- what there is ------------------------------------------------------------------------


def test_the_index_links_to_every_call_and_the_docs_need_no_network(api: httpx.Client) -> None:
    listed = api.get("/").json()
    assert listed["systems"][0]["calls"]["predict"] == "POST /v1/toy/predict"
    assert api.get(listed["openapi"]).json()["openapi"].startswith("3.1")
    for page in (api.get("/docs"), api.get("/", headers={"accept": "text/html"})):
        assert page.headers["content-type"].startswith("text/html")
        assert "http://" not in page.text
        assert "https://" not in page.text
