"""Tokens of several hosts are in one database, which may be away."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import httpx
import pytest

from ml_assets.core.profiles.own_postgres import OwnPostgres
from ml_assets.core.settings import Settings
from ml_assets.serving.access import known_tokens
from ml_assets.serving.access.known_tokens import LATE_S
from ml_assets.serving.access.tokens import Tokens
from tests.own_server import hanging, stopped
from tests.places import cluster_at, environment
from tests.serving.kit import Toy, problem, serving, wait_until
from tests.serving.test_server import server

AT = datetime(2024, 1, 8, tzinfo=UTC)
ABOUT = "/v1/toy/version"
WORKERS, IN_A_ROW = 2, 12


@pytest.fixture
def hosts(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[Settings, Settings]:
    cluster = cluster_at(postgres_url, tmp_path / "shared")
    one, other = (Settings(var=tmp_path / name / "var", cluster=cluster) for name in ("a", "b"))
    for name, value in environment(one).items():
        monkeypatch.setenv(name, value)
    return one, other


@pytest.fixture
def toy(hosts: tuple[Settings, Settings]) -> Toy:
    toy = Toy(settings=hosts[0])
    toy.deploy(1)
    return toy


def by(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.slow
def test_every_worker_of_every_host_follows_a_token_that_is_made_and_revoked(
    hosts: tuple[Settings, Settings]
) -> None:
    """Within two seconds, by new connections, of which each worker gets some."""
    tokens = Tokens(hosts[0].tokens)

    with ExitStack() as servers:
        urls = [servers.enter_context(server(host, workers=WORKERS)).url for host in hosts]

        def follow(status: int, token: str = "mla_0_x") -> None:
            began = monotonic()
            wait_until(lambda: all(
                httpx.get(f"{url}{ABOUT}", headers=by(token)).status_code == status
                for url in urls for _ in range(IN_A_ROW)))
            assert monotonic() - began < 2

        follow(200)
        for name in ("ann", "bob"):
            shown = tokens.create(name, ["admin"], [], AT)[1]
            follow(200, shown)
            tokens.revoke(name, AT)
            follow(401, shown)


def test_while_the_database_is_away_known_tokens_go_on_for_a_bounded_time_and_no_others_do(
    toy: Toy, postgres_server: OwnPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(toy.settings.tokens)
    known, revoked = (tokens.create(name, ["admin"], [], AT)[1] for name in ("ann", "bob"))
    tokens.revoke("bob", AT)
    with serving(toy) as api:
        with stopped(postgres_server):
            wait_until(lambda: api.get(ABOUT, headers=by("mla_0_x")).status_code == 503, LATE_S + 2)
            found = problem(api.get(ABOUT, headers=by("mla_0_x")), 503, "tokens_unreadable")
            assert "does not know this token" in found["message"]
            assert api.get(ABOUT, headers=by(known)).status_code == 200
            for token in (revoked, f"{known}x"):
                assert api.get(ABOUT, headers=by(token)).status_code == 503
            problem(api.get(ABOUT), 401, "unauthorized")
            monkeypatch.setattr(known_tokens, "TRUSTED_S", LATE_S)
            found = problem(api.get(ABOUT, headers=by(known)), 503, "tokens_unreadable")
            assert "nobody may call" in found["message"]
            assert api.get("/healthz").status_code == 200
        wait_until(lambda: api.get(ABOUT, headers=by(known)).status_code == 200)
        problem(api.get(ABOUT, headers=by(revoked)), 401, "unauthorized")
        new = tokens.create("eve", ["admin"], [], AT)[1]
        wait_until(lambda: api.get(ABOUT, headers=by(new)).status_code == 200, 2)


@pytest.mark.parametrize("away", [stopped, pytest.param(hanging, marks=pytest.mark.slow)])
def test_a_host_that_starts_without_its_database_lets_nobody_in_until_it_is_there(
    toy: Toy, postgres_server: OwnPostgres,
    away: Callable[[OwnPostgres], AbstractContextManager[None]],
) -> None:
    """On loopback neither: nobody can tell whether there are tokens."""
    token = Tokens(toy.settings.tokens).create("ann", ["admin"], [], AT)[1]
    with ExitStack() as begun:
        with away(postgres_server):
            began = monotonic()
            api = begun.enter_context(serving(toy))
            assert monotonic() - began < 30
            for headers in ({}, by(token)):
                problem(api.get(ABOUT, headers=headers), 503, "tokens_unreadable")
        wait_until(lambda: api.get(ABOUT, headers=by(token)).status_code == 200, 15)
        problem(api.get(ABOUT), 401, "unauthorized")


def test_a_table_that_somebody_has_dropped_opens_nothing(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_assets.core.storage.postgres import session

    Tokens(toy.settings.tokens).create("ann", ["admin"], [], AT)
    monkeypatch.setattr(known_tokens, "TRUSTED_S", 0.5)
    assert toy.settings.cluster is not None
    with serving(toy) as api:
        with session(toy.settings.cluster.tokens) as db:
            db.execute("drop table tokens")
        wait_until(lambda: api.get(ABOUT).status_code == 503, 5)
