"""The replay is let into an API that asks for tokens, and leaves no open door behind."""

from __future__ import annotations

from datetime import UTC, datetime

from ml_assets.core.settings import Settings
from ml_assets.replay.api import let_in
from ml_assets.serving.access.doorkeeper import Doorkeeper
from ml_assets.serving.access.tokens import Tokens


def test_where_nobody_needs_a_token_none_is_made(settings: Settings) -> None:
    with let_in(settings, "buyer") as headers:
        assert headers == {}
    assert not settings.tokens.exists()


def test_where_tokens_are_in_use_it_has_one_of_its_own_while_it_runs(settings: Settings) -> None:
    tokens = Tokens(settings.tokens)
    tokens.create("ann", ["admin"], [], datetime(2024, 1, 8, tzinfo=UTC))
    with let_in(settings, "buyer") as headers:
        token = Doorkeeper(settings).admit(
            "/v1/toy/feedback", headers["authorization"].encode())
        assert token is not None
        assert token.may_speak_as("buyer")
    assert [each.revoked_at is None for each in tokens.read()] == [True, False]
