"""Who may call: over a real socket, with real tokens, in a file or in PostgreSQL.

`tokens` are of either profile; `token_file` is the local one's.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from ml_assets.core.errors import ContractViolation, DeclarationError, UnknownName
from ml_assets.core.settings import Settings
from ml_assets.core.storage.places import Place
from ml_assets.serving.access.doorkeeper import (
    Doorkeeper,
    ListenRefused,
    is_loopback,
    needed_for,
    require_tokens,
)
from ml_assets.serving.access.token import Scope
from ml_assets.serving.access.tokens import Tokens
from ml_assets.serving.contract.decoding import RequestRefused
from ml_assets.serving.server import serve
from tests.places import file_of
from tests.serving.kit import Toy, asked, problem, serving, wait_until

AT = datetime(2024, 1, 8, tzinfo=UTC)
OPEN = ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/readyz/toy")


@dataclass
class Standing:
    """A clock that a test moves."""

    at: datetime

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def settings(settings_of_each: Settings) -> Settings:
    return settings_of_each


@pytest.fixture
def local(tmp_path: Path) -> Settings:
    return Settings(var=tmp_path / "local")


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture
def tokens(settings: Settings) -> Tokens:
    return Tokens(settings.tokens)


@pytest.fixture
def token_file(local: Settings) -> Tokens:
    return Tokens(local.tokens)


@pytest.fixture
def admin(tokens: Tokens) -> str:
    return bearer(tokens, "ann", "admin")


@pytest.fixture
def api(toy: Toy, admin: str) -> Iterator[httpx.Client]:
    """A server that has asked for tokens from its start."""
    with serving(toy) as client:
        yield client


def bearer(tokens: Tokens, name: str, *scopes: Scope, source: str | None = None) -> str:
    return tokens.create(name, scopes, [source] if source else [], AT)[1]


def by(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def kept(place: Place) -> str:
    """All that is stored of tokens."""
    if isinstance(place, Path):
        return place.read_text()
    from ml_assets.core.storage.postgres import session

    with session(place) as db:
        return str(db.execute("select * from tokens").fetchall())


def predicted(api: httpx.Client, token: str) -> httpx.Response:
    return api.post("/v1/toy/predict", json=asked(), headers=by(token))


def test_without_tokens_loopback_is_open_as_ever(toy: Toy) -> None:
    with serving(toy) as api:
        assert api.post("/v1/toy/predict", json=asked()).status_code == 200


def test_the_first_token_closes_a_running_api_and_open_pages_stay_open(
    toy: Toy, tokens: Tokens
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
    api: httpx.Client, tokens: Tokens
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
    api: httpx.Client, tokens: Tokens, admin: str
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
    api: httpx.Client, tokens: Tokens
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
    tokens: Tokens
) -> None:
    token, _ = tokens.create("desk", ["feedback"], ["analyst:", "buyer"], AT)
    spoken = ["analyst:ann", "buyer", "analyst:", "analyst", "buyer2", "Analyst:ann"]
    assert [token.may_speak_as(source) for source in spoken] == [True, True, *[False] * 4]


def test_a_revocation_is_followed_within_a_second_and_leaves_the_api_closed(
    api: httpx.Client, tokens: Tokens, admin: str
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
    local: Settings, token_file: Tokens
) -> None:
    admin, path = bearer(token_file, "ann", "admin"), file_of(local.tokens)
    whole, about = path.read_bytes(), "/v1/toy/version"
    toy = Toy(settings=local)
    toy.deploy(1)
    with serving(toy) as api:
        path.write_bytes(whole[:-20])
        with pytest.raises(ContractViolation, match="cannot be read"):
            token_file.read()
        wait_until(lambda: api.get(about, headers=by(admin)).status_code == 503, 1)
        problem(api.get(about, headers=by(admin)), 503, "tokens_unreadable")
        path.write_bytes(whole)
        wait_until(lambda: api.get(about, headers=by(admin)).status_code == 200, 1)


def test_no_secret_is_kept_or_logged(
    api: httpx.Client, tokens: Tokens, admin: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = admin.split("_", 2)[2]
    problem(predicted(api, admin), 403, "not_allowed")
    problem(predicted(api, admin + "x"), 401, "unauthorized")
    assert any("/v1/toy/predict -> 401" in record.getMessage() for record in caplog.records)
    assert not any(secret in f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert secret not in kept(tokens.place)


def test_listening_beyond_loopback_without_a_token_in_force_is_refused(
    settings: Settings, tokens: Tokens
) -> None:
    exposed = replace(settings, host="0.0.0.0", port=0)
    with pytest.raises(ListenRefused, match="no token in force"):
        serve(exposed, [])
    bearer(tokens, "shop", "predict")
    require_tokens(exposed)
    tokens.revoke("shop", AT)
    with pytest.raises(ListenRefused):
        require_tokens(exposed)


def test_beyond_loopback_no_tokens_open_nothing(settings: Settings) -> None:
    assert Doorkeeper(replace(settings, host="0.0.0.0")).closed
    assert not Doorkeeper(settings).closed


@pytest.mark.parametrize(("host", "loopback"), [
    ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
    ("0.0.0.0", False), ("::", False), ("", False), ("192.0.2.1", False), ("shop.example", False),
])
def test_what_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


# --- tokens that end ----------------------------------------------------------------------


def test_an_expired_token_is_401_and_says_so_and_another_secret_learns_nothing(
    toy: Toy, tokens: Tokens
) -> None:
    past = datetime.now(UTC) - timedelta(days=2)
    token, shown = tokens.create("shop", ["predict"], [], past, timedelta(days=1))
    assert token.expires_at is not None
    with serving(toy) as api:
        found = problem(predicted(api, shown), 401, "token_expired")
        assert f"good until {token.expires_at:%Y-%m-%d %H:%M} UTC" in found["message"]
        assert "ml-assets token rotate shop" in found["message"]
        problem(predicted(api, shown + "x"), 401, "unauthorized")


def test_a_token_is_in_force_until_the_instant_at_which_it_expires(
    settings: Settings, tokens: Tokens
) -> None:
    """Its end is seen without a change of the file, and by no other clock than the wall's."""
    clock = Standing(AT)
    door = Doorkeeper(settings, clock=clock)
    _, shown = tokens.create("shop", ["predict"], [], AT, timedelta(days=90))
    sent = f"Bearer {shown}".encode()
    clock.at = AT + timedelta(days=90, microseconds=-1)
    assert door.admit("/v1/toy/predict", sent) is not None
    clock.at = AT + timedelta(days=90)
    with pytest.raises(RequestRefused, match="has expired"):
        door.admit("/v1/toy/predict", sent)
    assert door.closed


def test_both_secrets_open_the_api_for_the_grace_of_a_rotation_and_then_the_new_one_alone(
    settings: Settings, tokens: Tokens
) -> None:
    clock = Standing(AT)
    door = Doorkeeper(settings, clock=clock)
    old, shown = tokens.create("till", ["feedback"], ["buyer"], AT)
    new, shown_anew = tokens.rotate("till", AT, grace=timedelta(days=1))
    assert (new.name, new.scopes, new.sources) == (old.name, old.scopes, old.sources)
    assert (new.id != old.id, new.sha256 != old.sha256) == (True, True)

    def opens(sent: str) -> bool:
        try:
            return door.admit("/v1/toy/feedback", f"Bearer {sent}".encode()) is not None
        except RequestRefused:
            return False

    assert (opens(shown), opens(shown_anew)) == (True, True)
    clock.at = AT + timedelta(days=1)
    assert (opens(shown), opens(shown_anew)) == (False, True)
    tokens.rotate(new.id, clock.at, grace=timedelta())
    door.tokens.look()
    assert not opens(shown_anew)


def test_a_rotated_token_lives_as_long_as_the_one_before_was_made_for_also_after_its_end(
    tokens: Tokens
) -> None:
    month, later = timedelta(days=30), AT + timedelta(days=40)
    tokens.create("shop", ["predict"], [], AT, month)
    assert tokens.rotate("shop", later, grace=month)[0].expires_at == later + month
    assert [token.expires_at for token in tokens.read()] == [AT + month, later + month]
    shorter, _ = tokens.rotate("shop", later, grace=month * 9, lifetime=timedelta(days=1))
    assert [token.expires_at for token in tokens.read()] == [
        AT + month, later + month, later + timedelta(days=1)]
    assert tokens.rotate(shorter.id, later, grace=month)[0].lifetime == timedelta(days=1)


def test_a_revocation_by_name_ends_what_a_rotation_has_left_too(tokens: Tokens) -> None:
    tokens.create("shop", ["predict"], [], AT)
    tokens.rotate("shop", AT, grace=timedelta(days=1))
    assert len(tokens.revoke("shop", AT)) == 2
    with pytest.raises(UnknownName):
        tokens.rotate("shop", AT, grace=timedelta(days=1))


def test_an_expired_name_is_free_and_expired_tokens_let_nobody_listen(
    settings: Settings, tokens: Tokens
) -> None:
    tokens.create("shop", ["predict"], [], AT, timedelta(days=1))
    with pytest.raises(ListenRefused):
        require_tokens(replace(settings, host="0.0.0.0"))
    with pytest.raises(UnknownName):
        tokens.revoke("shop", AT + timedelta(days=2))
    tokens.create("shop", ["predict"], [], AT + timedelta(days=2))


def test_a_file_from_before_tokens_could_expire_is_read_as_ever(
    local: Settings, token_file: Tokens
) -> None:
    shown = bearer(token_file, "ann", "admin")
    old = json.loads(file_of(local.tokens).read_bytes())
    del old[0]["expires_at"]
    file_of(local.tokens).write_text(json.dumps(old))
    found = Doorkeeper(local).admit("/metrics", f"Bearer {shown}".encode())
    assert found == token_file.read()[0]
    assert found.expires_at is None


def test_racing_creations_lose_no_token_and_a_name_in_force_is_unique(tokens: Tokens) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: bearer(tokens, f"t{n}", "predict"), range(20)))
    assert len({token.id for token in tokens.read()}) == 20
    with pytest.raises(DeclarationError, match="there is a token named 't3'"):
        bearer(tokens, "t3", "predict")
    tokens.revoke("t3", AT)
    bearer(tokens, "t3", "predict")
    with pytest.raises(UnknownName, match="no token in force 'nobody'"):
        tokens.revoke("nobody", AT)
