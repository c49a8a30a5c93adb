"""Who may call: over a real socket, with a real file of tokens."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest

from ml_assets.core.errors import ContractViolation, DeclarationError, UnknownName
from ml_assets.core.settings import Settings
from ml_assets.serving.security import (
    Doorkeeper,
    ListenRefused,
    Scope,
    TokenFile,
    is_loopback,
    needed_for,
    require_tokens,
)
from ml_assets.serving.server import serve
from tests.serving.kit import Toy, asked, problem, serving, wait_until

AT = datetime(2024, 1, 8, tzinfo=UTC)
OPEN = ("/", "/docs", "/openapi.json", "/healthz", "/readyz")


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture
def tokens(settings: Settings) -> TokenFile:
    return TokenFile(settings.tokens)


@pytest.fixture
def admin(tokens: TokenFile) -> str:
    return bearer(tokens, "ann", "admin")


@pytest.fixture
def api(toy: Toy, admin: str) -> Iterator[httpx.Client]:
    """A server that has asked for tokens from its start."""
    with serving(toy) as client:
        yield client


def bearer(tokens: TokenFile, name: str, *scopes: Scope, source: str | None = None) -> str:
    return tokens.create(name, scopes, [source] if source else [], AT)[1]


def by(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def predicted(api: httpx.Client, token: str) -> httpx.Response:
    return api.post("/v1/toy/predict", json=asked(), headers=by(token))


def test_without_a_token_file_loopback_is_open_as_ever(toy: Toy) -> None:
    with serving(toy) as api:
        assert api.post("/v1/toy/predict", json=asked()).status_code == 200


def test_the_first_token_closes_a_running_api_and_open_pages_stay_open(
    toy: Toy, tokens: TokenFile
) -> None:
    with serving(toy) as api:
        assert api.get("/v1/toy/version").status_code == 200
        shop = bearer(tokens, "shop", "predict")
        wait_until(lambda: api.get("/v1/toy/version").status_code == 401, 1)
        assert predicted(api, shop).status_code == 200
        assert [api.get(path).status_code for path in OPEN] == [200] * len(OPEN)


@pytest.mark.parametrize("authorization", [
    None, "", "Bearer", "Bearer  x", "Bearer mla_", "Bearer mla__", "Bearer mla_00000000_x",
    "Basic YW5uOmFubg==", "Bearer mla_\xff_\xff",
])
def test_a_missing_or_wrong_token_is_401_and_says_how_to_get_one(
    api: httpx.Client, authorization: str | None
) -> None:
    headers = {} if authorization is None else {b"authorization": authorization.encode("latin-1")}
    answer = api.post("/v1/toy/predict", json=asked(), headers=headers)
    found = problem(answer, 401, "unauthorized")
    assert "ml-assets token create" in found["message"]
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_of_a_right_id_with_another_secret_nothing_is_let_in(
    api: httpx.Client, tokens: TokenFile
) -> None:
    one, other = bearer(tokens, "one", "predict"), bearer(tokens, "other", "predict")
    wait_until(lambda: predicted(api, one).status_code == 200, 1)
    mixed = "_".join([*one.split("_", 2)[:2], other.split("_", 2)[2]])
    for wrong in (mixed, one[:-1], f"{one}x", one.upper()):
        problem(predicted(api, wrong), 401, "unauthorized")


@pytest.mark.parametrize(
    ("path", "scopes"),
    [
        ("/v1/toy/predict", {"predict"}),
        ("/v1/toy/predict/batch", {"predict"}),
        ("/v1/toy/feedback", {"feedback"}),
        ("/v1/toy/scores/corner", {"predict"}),
        ("/v1/toy/scores/a/b\nc", {"predict"}),
        ("/v1/toy/version", {"predict", "feedback", "admin"}),
        ("/v1/toy/predictions/0123", {"admin"}),
        ("/v1/toy/predictions/predict", {"admin"}),
        ("/v1/toy/predictions/0123/rows", {"admin"}),
        ("/v1/toy/predictions/0123/feedback", {"admin"}),
        ("/v1/toy/predict\n", {"admin"}),
        ("//v1/toy/predict", {"admin"}),
        ("/metrics", {"predict", "admin"}),
        ("/whatever/comes/later", {"admin"}),
    ],
)
def test_an_address_needs_its_scope_and_an_unforeseen_one_needs_admin(
    path: str, scopes: set[Scope]
) -> None:
    assert needed_for(path) == scopes


def test_a_token_without_the_scope_is_403_and_reads_which_one_it_lacks(
    api: httpx.Client, tokens: TokenFile, admin: str
) -> None:
    shop = bearer(tokens, "shop", "predict")
    wait_until(lambda: predicted(api, shop).status_code == 200, 1)
    about = predicted(api, shop).json()["prediction_id"]
    for path in (f"/v1/toy/predictions/{about}", f"/v1/toy/predictions/{about}/rows"):
        found = problem(api.get(path, headers=by(shop)), 403, "not_allowed")
        assert "needs a token with the scope admin; token 'shop' has predict" in found["message"]
    assert api.get(f"/v1/toy/predictions/{about}", headers=by(admin)).status_code == 200
    problem(predicted(api, admin), 403, "not_allowed")


def test_only_a_token_made_for_a_trusted_source_speaks_as_it(
    api: httpx.Client, tokens: TokenFile
) -> None:
    shop = bearer(tokens, "shop", "predict", "feedback")
    till = bearer(tokens, "till", "feedback", source="buyer")
    wait_until(lambda: predicted(api, shop).status_code == 200, 1)
    about = predicted(api, shop).json()["prediction_id"]

    def say(token: str, source: str) -> httpx.Response:
        said = {"prediction_id": about, "label": True, "source": source}
        return api.post("/v1/toy/feedback", json=said, headers=by(token))

    found = problem(say(shop, "buyer"), 403, "source_not_yours")
    assert (found["field"], "--source buyer" in found["message"]) == ("source", True)
    assert say(shop, "a passer-by").status_code == 200
    assert say(till, "buyer").json()["basis"] == "feedback"


def test_a_source_that_ends_in_a_colon_stands_for_all_names_that_begin_so(
    tokens: TokenFile
) -> None:
    token, _ = tokens.create("desk", ["feedback"], ["analyst:", "buyer"], AT)
    spoken = ["analyst:ann", "buyer", "analyst:", "analyst", "buyer2", "Analyst:ann"]
    assert [token.may_speak_as(source) for source in spoken] == [True, True, *[False] * 4]


def test_a_revocation_is_followed_within_a_second_and_leaves_the_api_closed(
    api: httpx.Client, tokens: TokenFile, admin: str
) -> None:
    about = "/v1/toy/version"
    assert api.get(about, headers=by(admin)).status_code == 200
    tokens.revoke("ann", AT)
    started = time.monotonic()
    wait_until(lambda: api.get(about, headers=by(admin)).status_code == 401)
    assert time.monotonic() - started < 1
    assert api.get(about).status_code == 401
    assert [token.revoked_at for token in tokens.read()] == [AT]


def test_a_damaged_file_lets_nobody_in_until_it_is_whole_again(
    api: httpx.Client, tokens: TokenFile, admin: str
) -> None:
    whole = tokens.path.read_bytes()
    tokens.path.write_bytes(whole[:-20])
    with pytest.raises(ContractViolation, match="cannot be read"):
        tokens.read()
    about = "/v1/toy/version"
    wait_until(lambda: api.get(about, headers=by(admin)).status_code == 503, 1)
    problem(api.get(about, headers=by(admin)), 503, "tokens_unreadable")
    tokens.path.write_bytes(whole)
    wait_until(lambda: api.get(about, headers=by(admin)).status_code == 200, 1)


def test_no_secret_is_kept_or_logged(
    api: httpx.Client, tokens: TokenFile, admin: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = admin.split("_", 2)[2]
    problem(predicted(api, admin), 403, "not_allowed")
    problem(predicted(api, admin + "x"), 401, "unauthorized")
    assert any("/v1/toy/predict -> 401" in record.getMessage() for record in caplog.records)
    assert not any(secret in f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert secret.encode() not in tokens.path.read_bytes()


def test_listening_beyond_loopback_without_a_token_in_force_is_refused(
    settings: Settings, tokens: TokenFile
) -> None:
    exposed = Settings(var=settings.var, host="0.0.0.0", port=0)
    with pytest.raises(ListenRefused, match="no token in force"):
        serve(exposed, [])
    bearer(tokens, "shop", "predict")
    require_tokens(exposed)
    tokens.revoke("shop", AT)
    with pytest.raises(ListenRefused):
        require_tokens(exposed)


def test_beyond_loopback_a_deleted_file_opens_nothing(settings: Settings) -> None:
    assert Doorkeeper(Settings(var=settings.var, host="0.0.0.0")).closed
    assert not Doorkeeper(Settings(var=settings.var)).closed


@pytest.mark.parametrize(("host", "loopback"), [
    ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
    ("0.0.0.0", False), ("::", False), ("", False), ("192.0.2.1", False), ("shop.example", False),
])
def test_what_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_racing_creations_lose_no_token_and_a_name_in_force_is_unique(tokens: TokenFile) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: bearer(tokens, f"t{n}", "predict"), range(20)))
    assert len({token.id for token in tokens.read()}) == 20
    with pytest.raises(DeclarationError, match="there is a token named 't3'"):
        bearer(tokens, "t3", "predict")
    tokens.revoke("t3", AT)
    bearer(tokens, "t3", "predict")
    with pytest.raises(UnknownName, match="no token in force 'nobody'"):
        tokens.revoke("nobody", AT)
